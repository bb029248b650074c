// Package poison keeps poison lists in files: one folder for each target, one file for each entry, so
// that a crash leaves each entry whole or not there.
package poison

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"quipu/domain"
	"quipu/eventbus/poison"
	"quipu/infra/durable"
)

// fileSuffix ends the names of entries; the rest is the position, 16 hex digits.
const fileSuffix = ".json"

// Files is poison.List in a folder. It is for one process at a time.
type Files struct {
	dir  string
	mu   sync.Mutex      // of everything below dir
	made map[string]bool // folders whose own entry is on disk
}

var _ poison.List = (*Files)(nil)

// Open makes the folder if it is missing, and removes what a crash left half written. Errors: ErrUnavailable.
func Open(dir string) (*Files, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, durable.Failure("open poison lists", dir, err)
	}
	halves, err := filepath.Glob(filepath.Join(dir, "new-*"))
	for _, half := range halves {
		err = errors.Join(err, os.Remove(half))
	}
	if err != nil {
		return nil, durable.Failure("open poison lists", dir, err)
	}
	return &Files{dir: dir, made: map[string]bool{}}, nil
}

// stored is an entry as its file has it. Keys are never renamed.
type stored struct {
	Stream   string `json:"stream"`
	Revision int64  `json:"revision"`
	EventID  string `json:"event_id"`
	Type     string `json:"type"`
	Attempts int    `json:"attempts"`
	Reason   string `json:"reason"`
	At       string `json:"at"`
}

// Add implements poison.List.
func (f *Files) Add(ctx context.Context, e poison.Entry) error {
	dir, err := f.folder(ctx, e.Target)
	if err != nil {
		return err
	}
	content, err := json.Marshal(stored{
		Stream: string(e.Stream), Revision: int64(e.Revision), EventID: e.EventID, Type: e.Type, Attempts: e.Attempts,
		Reason: poison.Clip(e.Reason), At: e.At.UTC().Format(domain.TimeLayout),
	})
	if err != nil {
		return domain.Wrap(domain.KindInternal, "give up an event of", e.Target, err)
	}
	path := filepath.Join(dir, name(e.Position))
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.room(e.Target, dir, path); err != nil {
		return err
	}
	if err := f.write(dir, path, content); err != nil {
		return durable.Failure("give up an event of", e.Target, err)
	}
	return nil
}

// write puts an entry on disk, and its folder's own entry before the first. The caller holds mu.
func (f *Files) write(dir, path string, content []byte) error {
	if !f.made[dir] { // by this process: a crash may have come before its entry was on disk
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := durable.SyncDir(f.dir); err != nil {
			return err
		}
		f.made[dir] = true
	}
	if err := durable.WriteFile(f.dir, path, content); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}

// room reports whether path is there or may be added. The caller holds mu.
func (f *Files) room(target, dir, path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	at, err := positions(target, dir)
	if err == nil && len(at) >= poison.EntriesMax {
		err = poison.Full(target)
	}
	return err
}

// Entries implements poison.List.
func (f *Files) Entries(ctx context.Context, target string, after domain.Position, max int) ([]poison.Entry, error) {
	dir, err := f.folder(ctx, target)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	at, err := positions(target, dir)
	if err != nil {
		return nil, err
	}
	var out []poison.Entry
	for _, p := range at {
		if p <= after {
			continue
		}
		if len(out) >= max {
			break
		}
		e, err := read(target, dir, p)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// Remove implements poison.List.
func (f *Files) Remove(ctx context.Context, target string, at domain.Position) error {
	dir, err := f.folder(ctx, target)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	err = os.Remove(filepath.Join(dir, name(at)))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = durable.SyncDir(dir)
	}
	if err != nil {
		return durable.Failure("remove a given up event of", target, err)
	}
	return nil
}

// Count implements poison.List.
func (f *Files) Count(ctx context.Context, target string) (int, error) {
	dir, err := f.folder(ctx, target)
	if err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	at, err := positions(target, dir)
	return len(at), err
}

func (f *Files) folder(ctx context.Context, target string) (string, error) {
	if err := poison.CheckTarget(target); err != nil {
		return "", err
	}
	return filepath.Join(f.dir, target), durable.ContextError(ctx, "poison list of", target)
}

func name(at domain.Position) string { return fmt.Sprintf("%016x", uint64(at)) + fileSuffix }

// positions lists what a folder holds, in order; a folder that is missing holds nothing.
func positions(target, dir string) ([]domain.Position, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, durable.Failure("read poison list of", target, err)
	}
	out := make([]domain.Position, 0, len(files))
	for _, file := range files {
		text, ok := strings.CutSuffix(file.Name(), fileSuffix)
		if n, err := strconv.ParseUint(text, 16, 64); ok && err == nil && len(text) == 16 {
			out = append(out, domain.Position(n))
		}
	}
	slices.Sort(out)
	return out, nil
}

func read(target, dir string, at domain.Position) (poison.Entry, error) {
	content, err := os.ReadFile(filepath.Join(dir, name(at)))
	if err != nil {
		return poison.Entry{}, durable.Failure("read poison list of", target, err)
	}
	var s stored
	if err := json.Unmarshal(content, &s); err != nil {
		return poison.Entry{}, domain.Wrap(domain.KindCorrupt, "read poison list of", target+": "+name(at), err)
	}
	when, err := time.Parse(domain.TimeLayout, s.At)
	if err != nil {
		return poison.Entry{}, domain.Wrap(domain.KindCorrupt, "read poison list of", target+": "+name(at), err)
	}
	return poison.Entry{
		Target: target, Position: at, Stream: domain.StreamID(s.Stream), Revision: domain.Revision(s.Revision),
		EventID: s.EventID, Type: s.Type, Attempts: s.Attempts, Reason: s.Reason, At: when.UTC(),
	}, nil
}
