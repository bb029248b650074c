package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"quipu/domain"
	"quipu/infra/durable"
)

// CheckSizes looks whether every file that the manifest lists is in dir with its size: a copy of a
// backup that was cut short is told before a server opens it. What is in the files is checked by
// VerifyFiles, and by the stores when they open.
//
// Errors: ErrCorrupt naming the first file that is missing or has another size; ErrUnavailable.
func (m *Manifest) CheckSizes(dir string) error {
	for _, f := range m.Files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return corrupt(path, "is missing, but the backup's manifest lists it; copy the backup again")
		case err != nil:
			return durable.Failure("open backup", path, err)
		case info.Size() != f.Bytes:
			return corrupt(path, fmt.Sprintf("has %d bytes, the backup's manifest says %d; copy the backup again", info.Size(), f.Bytes))
		}
	}
	return nil
}

// CheckBlobs compares what was counted in the store with the manifest. Errors: ErrCorrupt.
func (m *Manifest) CheckBlobs(dir string, blobs int, bytes int64) error {
	if blobs < m.Blobs || bytes < m.BlobBytes {
		return corrupt(dir, fmt.Sprintf("holds %d blobs of %d bytes, the backup's manifest says %d of %d; copy the backup again",
			blobs, bytes, m.Blobs, m.BlobBytes))
	}
	return nil
}

// VerifyFiles reads every file that the manifest lists and compares it. report is called with one
// sentence for each that differs.
//
// Errors: ErrUnavailable if a file cannot be read; ErrCanceled, ErrDeadline.
func (m *Manifest) VerifyFiles(ctx context.Context, dir string, report func(problem string)) error {
	for _, f := range m.Files {
		if err := durable.ContextError(ctx, "verify backup", dir); err != nil {
			return err
		}
		sum, err := sumOf(filepath.Join(dir, filepath.FromSlash(f.Name)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			report(f.Name + " is missing")
		case err != nil:
			return durable.Failure("verify backup", f.Name, err)
		case sum != f.SHA256:
			report(f.Name + " is not what was backed up: its SHA-256 is another")
		}
	}
	return nil
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	_, err = io.Copy(hash, f)
	return hex.EncodeToString(hash.Sum(nil)), errors.Join(err, f.Close())
}

// Opened says in the folder that a server has opened it, so that nobody takes it for the backup any
// more. A folder that is no backup is left alone. The caller holds the lock of the log.
func Opened(dir string) error {
	err := os.Rename(filepath.Join(dir, manifestName), filepath.Join(dir, restoredName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = durable.SyncDir(dir)
	}
	if err != nil {
		return domain.Wrap(domain.KindUnavailable, "open backup", dir, err)
	}
	return nil
}
