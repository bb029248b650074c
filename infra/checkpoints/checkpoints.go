// Package checkpoints keeps the positions of the log's consumers in files, one each: for a node that
// has the log's folder to itself.
package checkpoints

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"quipu/domain"
	"quipu/eventbus"
	"quipu/infra/durable"
)

// Files keeps checkpoints in a folder that one process uses at a time. Safe for concurrent use.
type Files struct {
	dir string
	log domain.LogID
	mu  sync.Mutex
}

var _ eventbus.Checkpoints = (*Files)(nil)

// file is what stands in a file. The name is there for people: the file's own name is escaped.
type file struct {
	Name     string       `json:"name"`
	Log      domain.LogID `json:"log"`
	Position string       `json:"position"` // 16 hex digits
}

// Open returns the checkpoints in dir, which is made if it is not there, for a log. There is nothing to
// close. Errors: ErrUnavailable.
func Open(dir string, log domain.LogID) (*Files, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, durable.Failure("open checkpoints", dir, err)
	}
	return &Files{dir: dir, log: log}, nil
}

// Load implements eventbus.Checkpoints.
func (f *Files) Load(ctx context.Context, name string) (domain.Position, error) {
	if err := eventbus.CheckCheckpoint(name, 0, 0); err != nil {
		return 0, err
	}
	if err := durable.ContextError(ctx, "load checkpoint", name); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.read(name)
}

// Save implements eventbus.Checkpoints. The folder's entry is left to the file system: should a crash
// bring the file before back, events since are handed on once more.
func (f *Files) Save(ctx context.Context, name string, from, to domain.Position) error {
	if err := eventbus.CheckCheckpoint(name, from, to); err != nil {
		return err
	}
	if err := durable.ContextError(ctx, "save checkpoint", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	found, err := f.read(name)
	switch {
	case err != nil:
		return err
	case found == to:
		return nil
	case found != from:
		return eventbus.CheckpointMoved(name, from, found)
	}
	text, err := json.Marshal(file{Name: name, Log: f.log, Position: fmt.Sprintf("%016x", uint64(to))})
	if err != nil {
		return err // three strings: cannot fail
	}
	if err := durable.WriteFile(f.dir, f.path(name), append(text, '\n')); err != nil {
		return durable.Failure("save checkpoint", name, err)
	}
	return nil
}

// path escapes what means something to a file system; "." and ".." cannot come up, for the ending.
func (f *Files) path(name string) string {
	return filepath.Join(f.dir, url.QueryEscape(name)+".json")
}

func (f *Files) read(name string) (domain.Position, error) {
	path := f.path(name)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, durable.Failure("read checkpoint", name, err)
	}
	var found file
	err = json.Unmarshal(text, &found)
	if err == nil && (found.Name != name || len(found.Position) != 16 || found.Log == "") {
		err = errors.New("holds other fields")
	}
	position, bad := strconv.ParseUint(found.Position, 16, 64)
	if err = errors.Join(err, bad); err != nil {
		return 0, domain.Wrap(domain.KindCorrupt, "read checkpoint", path,
			fmt.Errorf("%w; remove the file to hand all events on once more", err))
	}
	return domain.Position(position), eventbus.CheckpointOfLog(name, found.Log, f.log)
}
