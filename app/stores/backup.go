package stores

import (
	"fmt"

	"quipu/infra/backup"
	"quipu/infra/blobs"
	"quipu/infra/embedded"
)

// CheckBackup looks, before anything in data is opened, whether it is a backup and whole as far as
// that can be told without reading it. Anything else passes.
func CheckBackup(data string) error {
	m, found, err := UnopenedBackup(data)
	if err != nil || !found {
		return err
	}
	if err := m.CheckSizes(data); err != nil {
		return err
	}
	dir := BlobsDir(data)
	count, err := blobs.Stat(dir)
	if err != nil {
		return err
	}
	return m.CheckBlobs(dir, count.Blobs, count.Bytes)
}

// UnopenedBackup returns the manifest of the backup in data, !found if it is none or was opened.
func UnopenedBackup(data string) (m backup.Manifest, found bool, err error) {
	if m, found, err = backup.Read(data); err != nil || !found {
		return m, false, err
	}
	_, unopened, err := embedded.Unopened(LogDir(data))
	if err != nil {
		return m, false, fmt.Errorf("the backup in %s has no whole log; copy it again: %w", data, err)
	}
	return m, unopened, nil
}
