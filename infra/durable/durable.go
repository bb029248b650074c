// Package durable is how adapters that keep files write them: a crash leaves all of a file or
// nothing of it, and errors say what the caller may do.
package durable

import (
	"context"
	"errors"
	"os"
	"syscall"

	"quipu/domain"
)

// WriteFile makes path appear with content that is on disk, mode 0600, by way of a file in tmp on
// the same file system. The entry itself is durable only after SyncDir of its folder.
func WriteFile(tmp, path string, content []byte) error {
	f, err := os.CreateTemp(tmp, "new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// SyncDir puts the entries of a folder on disk.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Failure translates what the file system says when nothing was promised yet: the same call may be
// tried again (ErrUnavailable). A full disk has code DISK_FULL.
func Failure(op, subject string, err error) error {
	e := domain.Wrap(domain.KindUnavailable, op, subject, err)
	if Full(err) {
		e.Code, e.Message = "DISK_FULL", "the disk is full"
	}
	return e
}

// Full reports whether err says that there is no room: a full disk, a quota, or a limit on the
// size of files.
func Full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// ContextError is nil while ctx goes on, else ErrDeadline or ErrCanceled.
func ContextError(ctx context.Context, op, subject string) error {
	switch err := ctx.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return domain.Wrap(domain.KindDeadline, op, subject, err)
	default:
		return domain.Wrap(domain.KindCanceled, op, subject, err)
	}
}
