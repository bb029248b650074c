package blobs

import "quipu/infra/durable"

// files is how the store writes; tests make it fail.
type files struct {
	// writeSynced makes path appear with content that is on disk, by way of a file in tmp.
	writeSynced func(tmp, path string, content []byte) error
	// syncDir puts the entries of a folder on disk.
	syncDir func(dir string) error
}

var osFiles = files{writeSynced: durable.WriteFile, syncDir: durable.SyncDir}
