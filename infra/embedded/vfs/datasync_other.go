//go:build !linux

package vfs

// Datasync syncs everything, where the system has no lesser call or Go none for it. On macOS package os asks
// the disk itself to write, which fsync alone does not there.
func (f osFile) Datasync() error { return f.Sync() }
