package embedded

import (
	"errors"
	"fmt"
	"syscall"

	"quipu/domain"
	"quipu/infra/durable"
)

// closedError is what every method says after Close.
func closedError(op string) error {
	return domain.E(domain.KindUnavailable, op, "log", "the log is closed")
}

// corruptError names the place of damage.
func corruptError(file string, offset int64, what string) error {
	return domain.E(domain.KindCorrupt, "read", file, fmt.Sprintf("offset %d: %s", offset, what)).
		WithDetails(map[string]any{"file": file, "offset": offset})
}

// fileError translates an error of package vfs that hit before anything was acknowledged.
func fileError(op, file string, err error) error {
	e := domain.Wrap(domain.KindUnavailable, op, file, err)
	switch {
	case diskFull(err):
		e.Message, e.Code = "the disk is full", "DISK_FULL"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EROFS):
		e.Message, e.Code = "the folder of the log must be writable", "READ_ONLY"
	}
	return e
}

func diskFull(err error) bool { return durable.Full(err) }

func conflictError(stream domain.StreamID, expected, head domain.Revision) error {
	return domain.E(domain.KindConflict, "append to", string(stream),
		fmt.Sprintf("expected revision %d, head is %d", expected, head)).
		WithDetails(map[string]any{"expected": int64(expected), "head": int64(head)})
}
