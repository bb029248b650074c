package sqlite

import (
	"context"
	"errors"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"quipu/domain"
	"quipu/infra/durable"
)

// outcome is what a result code of SQLite means to the caller.
type outcome struct {
	kind    domain.Kind
	code    string
	message string
}

// outcomes has the primary result codes that can happen; others are bugs (ErrInternal).
var outcomes = map[int]outcome{
	lib.SQLITE_BUSY:       {domain.KindUnavailable, "", "another process holds the database"},
	lib.SQLITE_LOCKED:     {domain.KindUnavailable, "", "the database is locked"},
	lib.SQLITE_NOMEM:      {domain.KindUnavailable, "", "no memory is left"},
	lib.SQLITE_READONLY:   {domain.KindUnavailable, "", "the database cannot be written"},
	lib.SQLITE_INTERRUPT:  {domain.KindCanceled, "", "interrupted"},
	lib.SQLITE_IOERR:      {domain.KindUnavailable, "", "the disk reports an error"},
	lib.SQLITE_FULL:       {domain.KindUnavailable, "DISK_FULL", "the disk is full"},
	lib.SQLITE_CANTOPEN:   {domain.KindUnavailable, "", "the file cannot be opened"},
	lib.SQLITE_PROTOCOL:   {domain.KindUnavailable, "", "the lock of the write-ahead log was not to be had"},
	lib.SQLITE_PERM:       {domain.KindUnavailable, "", "the file may not be accessed"},
	lib.SQLITE_AUTH:       {domain.KindUnavailable, "", "the file may not be accessed"},
	lib.SQLITE_NOLFS:      {domain.KindUnavailable, "", "the file system takes no large files"},
	lib.SQLITE_CORRUPT:    {domain.KindCorrupt, "", "the file is damaged; rebuild the views"},
	lib.SQLITE_NOTADB:     {domain.KindCorrupt, "", "the file is no SQLite database; rebuild the views"},
	lib.SQLITE_FORMAT:     {domain.KindCorrupt, "", "the file is damaged; rebuild the views"},
	lib.SQLITE_TOOBIG:     {domain.KindUnprocessable, "", "a value is too large to be stored"},
	lib.SQLITE_CONSTRAINT: {domain.KindUnprocessable, "", "a row contradicts what is stored"},
	lib.SQLITE_MISMATCH:   {domain.KindUnprocessable, "", "a value has the wrong type"},
	lib.SQLITE_RANGE:      {domain.KindInternal, "", ""},
}

// translate gives err its kind. ctx tells an interruption from a deadline.
func translate(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	var known *domain.Error
	if errors.As(err, &known) {
		return err
	}
	if ctx.Err() != nil {
		return durable.ContextError(ctx, op, "views")
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return domain.Wrap(domain.KindDeadline, op, "views", err)
	}
	if errors.Is(err, context.Canceled) {
		return domain.Wrap(domain.KindCanceled, op, "views", err)
	}
	var failed *driver.Error
	if !errors.As(err, &failed) {
		return domain.Wrap(domain.KindInternal, op, "views", err)
	}
	o := outcomes[failed.Code()&0xff]
	e := domain.Wrap(o.kind, op, "views", err)
	e.Code, e.Message = o.code, o.message
	return e
}

// corrupt says that what is stored makes no sense.
func corrupt(op, message string) error {
	return domain.E(domain.KindCorrupt, op, "views", message+"; rebuild the views")
}
