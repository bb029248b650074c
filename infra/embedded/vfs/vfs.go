// Package vfs is the file access of the embedded log, small enough to be replaced: OS is the real
// thing, Sim (sim.go) keeps everything in memory, fails on demand and crashes like a machine that
// lost power.
package vfs

import "io"

// FS is what the log needs of a file system. Names are slash-separated paths. Errors are those of
// package os and syscall, so errors.Is works with fs.ErrNotExist, syscall.ENOSPC and so on.
type FS interface {
	// Open opens an existing file, for reading only or for both.
	Open(name string, writable bool) (File, error)
	// Create makes an empty file for reading and writing; an existing one is emptied.
	Create(name string) (File, error)
	// MkdirAll makes a folder and its parents.
	MkdirAll(name string) error
	// List returns the names in a folder, sorted, without path.
	List(name string) ([]string, error)
	// Rename moves a file; durable after SyncDir.
	Rename(from, to string) error
	// Remove deletes a file; durable after SyncDir.
	Remove(name string) error
	// SyncDir makes creations, renames and removals in a folder durable.
	SyncDir(name string) error
	// Lock takes an exclusive lock on a file, which it creates, until Close. It does not wait: a
	// lock held by anyone, this process included, gives ErrLocked.
	Lock(name string) (io.Closer, error)
}

// File is an open file. ReadAt and WriteAt are safe for concurrent use.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Size is the file's length in bytes.
	Size() (int64, error)
	// Truncate sets the length.
	Truncate(size int64) error
	// Datasync makes written bytes, and the length they need, durable (fdatasync).
	Datasync() error
	io.Closer
}
