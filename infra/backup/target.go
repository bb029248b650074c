package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"quipu/domain"
	"quipu/infra/durable"
)

// Target is a backup in the making. It belongs to one goroutine.
type Target struct{ dir string }

// Begin makes the folder `to` for a backup of the data folder source and marks it as not complete.
//
// Errors: ErrInvalid naming to if it is not empty, is no folder, or lies within source;
// ErrUnavailable if it cannot be made or written.
func Begin(source, to string) (*Target, error) {
	if err := outside(source, to); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		if info, statErr := os.Stat(to); statErr == nil && !info.IsDir() {
			return nil, invalid(to, "is not a folder; name one that does not exist or is empty")
		}
		return nil, durable.Failure("back up to", to, err)
	case len(entries) > 0:
		return nil, invalid(to, notEmpty(entries))
	}
	if err := makeDurably(to); err != nil {
		return nil, durable.Failure("back up to", to, err)
	}
	t := &Target{dir: to}
	// Durable before anything else is there, so that a broken-off backup is always told.
	if err := t.write(nil); err != nil {
		return nil, durable.Failure("back up to", to, err)
	}
	return t, nil
}

func notEmpty(entries []fs.DirEntry) string {
	for _, e := range entries {
		if e.Name() == partialName {
			return "holds a backup that was broken off; remove it or name another folder"
		}
	}
	return "is not empty; name a folder that does not exist or is empty"
}

func invalid(to, fault string) error {
	return domain.E(domain.KindInvalid, "back up to", to, fault).WithField("to")
}

// outside refuses a target within the source: it would be part of what later backups copy, and be
// lost together with it.
func outside(source, to string) error {
	src, err := realPath(source)
	if err != nil {
		return durable.Failure("back up", source, err)
	}
	dst, err := realPath(to)
	if err != nil {
		return durable.Failure("back up to", to, err)
	}
	if rel, err := filepath.Rel(src, dst); err == nil && (rel == "." || filepath.IsLocal(rel)) {
		return invalid(to, fmt.Sprintf("lies within %s, which is backed up; name a folder outside of it", source))
	}
	return nil
}

// realPath resolves links in as much of the path as exists.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for {
		real, err := filepath.EvalSymlinks(path)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		parent := filepath.Dir(path)
		if !errors.Is(err, fs.ErrNotExist) || parent == path {
			return "", err
		}
		path, rest = parent, filepath.Join(filepath.Base(path), rest)
	}
}

// makeDurably is MkdirAll whose new folders are still there after a crash.
func makeDurably(dir string) error {
	if err := os.Mkdir(dir, 0o700); err == nil {
		return durable.SyncDir(filepath.Dir(dir))
	} else if errors.Is(err, fs.ErrExist) {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeDurably(filepath.Dir(dir)); err != nil {
		return err
	}
	return makeDurably(dir)
}

// Finish writes the manifest, which makes the backup complete: from then on, whatever happens, it
// is found whole. Errors: ErrUnavailable, code DISK_FULL if there is no room.
func (t *Target) Finish(m Manifest) error {
	m.Format = Format
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return domain.Wrap(domain.KindInternal, "back up to", t.dir, err)
	}
	// Everything below the folder is durable before the backup says so.
	err = durable.SyncDir(t.dir)
	if err == nil {
		err = t.write(append(b, '\n'))
	}
	if err == nil {
		err = os.Rename(filepath.Join(t.dir, partialName), filepath.Join(t.dir, manifestName))
	}
	if err == nil {
		err = durable.SyncDir(t.dir)
	}
	if err != nil {
		return durable.Failure("back up to", t.dir, err)
	}
	return nil
}

// write puts content durably into the file that marks the backup as not complete.
func (t *Target) write(content []byte) error {
	f, err := os.OpenFile(filepath.Join(t.dir, partialName), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, strings.NewReader(string(content)))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), durable.SyncDir(t.dir))
}
