package blobs

import (
	"errors"
	"os"
)

// files is how the store writes; tests make it fail.
type files struct {
	// writeSynced makes path appear with content that is on disk, by way of a file in tmp.
	writeSynced func(tmp, path string, content []byte) error
	// syncDir puts the entries of a folder on disk.
	syncDir func(dir string) error
}

var osFiles = files{writeSynced: writeSynced, syncDir: syncDir}

func writeSynced(tmp, path string, content []byte) error {
	f, err := os.CreateTemp(tmp, "put-*") // mode 0600
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

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
