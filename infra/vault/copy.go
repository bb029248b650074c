package vault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"quipu/infra/durable"
)

// CopyTo copies the wrapped keys of the vault in the folder dir, which another process may be writing to,
// into the folder `to`, which it makes. The master key is never copied: without it the copy is
// worth nothing. The copy holds at least the keys that were stored when CopyTo began and is
// durable when it returns; a frame under way, or cut short by a crash, is left out. If dir has no key
// table, nothing is copied.
//
// Errors: ErrCorrupt, with the place, if the table is damaged before its end; ErrUnavailable if
// something cannot be read or written, code DISK_FULL if there is no room; ErrCanceled, ErrDeadline.
func CopyTo(ctx context.Context, dir, to string) ([]durable.Copied, error) {
	if err := durable.ContextError(ctx, "copy keys to", to); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, tableName)
	in, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, durable.Failure("copy keys from", path, err)
	}
	copied, err := copyTable(path, in, to)
	if closed := in.Close(); err == nil && closed != nil {
		err = durable.Failure("copy keys from", path, closed)
	}
	return copied, err
}

func copyTable(path string, in *os.File, to string) ([]durable.Copied, error) {
	target := filepath.Join(to, tableName)
	failed := func(err error) ([]durable.Copied, error) { return nil, durable.Failure("copy keys to", target, err) }
	if err := os.MkdirAll(to, 0o700); err != nil {
		return failed(err)
	}
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return failed(err)
	}
	w := &tableCopy{file: out, hash: sha256.New()}
	t := &fileTable{path: path}
	_ = w.write([]byte(tableHeader)) // remembered
	rest, err := t.scan(in, w.write)
	if err == nil {
		err = t.damaged(rest, t.size+int64(len(rest)))
	}
	switch {
	case w.err != nil:
		err = durable.Failure("copy keys to", target, w.err)
	case err == nil:
		if synced := errors.Join(out.Sync(), durable.SyncDir(to)); synced != nil {
			err = durable.Failure("copy keys to", target, synced)
		}
	}
	if closed := out.Close(); err == nil && closed != nil {
		return failed(closed)
	}
	if err != nil {
		return nil, err
	}
	return []durable.Copied{{Name: tableName, Bytes: w.bytes, SHA256: hex.EncodeToString(w.hash.Sum(nil))}}, nil
}

// tableCopy writes what a scan has checked. It remembers why it could not.
type tableCopy struct {
	file  io.Writer
	hash  hash.Hash
	bytes int64
	err   error
}

func (w *tableCopy) write(b []byte) error {
	w.hash.Write(b) // never fails (hash.Hash)
	w.bytes += int64(len(b))
	_, w.err = w.file.Write(b)
	return w.err
}
