// Package blobs keeps payloads that are too large for events as files named by their content:
// <dir>/ab/cdef…, where abcdef… is the SHA-256 in lower-case hex.
//
// A file appears under its name only once its bytes are on disk (written to <dir>/tmp, synced,
// renamed, folder synced), so a name that is found after a crash has its whole content.
package blobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"quipu/domain"
	"quipu/infra/durable"
)

// BytesMaxDefault is the default of Options.BytesMax.
const BytesMaxDefault = 64 << 20

// Options of a Store. The zero value is the default.
type Options struct {
	// BytesMax is the largest content accepted, in bytes; default BytesMaxDefault.
	BytesMax int64
}

// Store is sealing.Blobs on a file system. Safe for concurrent use; one process per folder.
type Store struct {
	dir      string
	bytesMax int64
	fs       files

	mu     sync.Mutex
	flight map[string]*put // by name: equal contents are written once
	shards [256]bool       // folders this process has made sure of on disk
	broken error           // a folder could not be synced: nothing more is promised
}

// put is a Put under way.
type put struct {
	done chan struct{}
	err  error
}

// Open makes dir if needed and removes what a crash left half-written.
//
// Errors: ErrInvalid for bad options; ErrUnavailable, naming the path, if dir cannot be used.
func Open(dir string, options Options) (*Store, error) {
	if options.BytesMax == 0 {
		options.BytesMax = BytesMaxDefault
	}
	if options.BytesMax < 0 {
		return nil, domain.E(domain.KindInvalid, "open blobs in", dir, "bytes_max is negative").WithField("bytes_max")
	}
	s := &Store{dir: dir, bytesMax: options.BytesMax, fs: osFiles, flight: make(map[string]*put)}
	if err := s.prepare(); err != nil {
		return nil, durable.Failure("open blobs in", dir, err)
	}
	return s, nil
}

func (s *Store) prepare() error {
	tmp := filepath.Join(s.dir, "tmp")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return err
	}
	left, err := os.ReadDir(tmp)
	if err != nil {
		return err
	}
	for _, f := range left {
		if err := os.Remove(filepath.Join(tmp, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// Folders made by an earlier process that died before its sync become durable here.
	if err := s.fs.syncDir(s.dir); err != nil {
		return err
	}
	return s.fs.syncDir(filepath.Dir(s.dir))
}

// Put implements sealing.Blobs. What is already stored costs one look at the folder.
//
// Errors: ErrInvalid (code TOO_LARGE) over Options.BytesMax; ErrUnavailable, code DISK_FULL if that is the
// reason. After a folder could not be synced every Put fails until the store is opened again.
// ctx is only looked at before the write starts.
func (s *Store) Put(ctx context.Context, content []byte) (string, error) {
	if err := durable.ContextError(ctx, "put blob", ""); err != nil {
		return "", err
	}
	if int64(len(content)) > s.bytesMax {
		return "", domain.E(domain.KindInvalid, "put blob", "",
			fmt.Sprintf("has %d bytes, at most %d are allowed", len(content), s.bytesMax)).WithCode("TOO_LARGE")
	}
	sum := sha256.Sum256(content)
	name := hex.EncodeToString(sum[:])

	s.mu.Lock()
	if s.broken != nil {
		defer s.mu.Unlock()
		return "", durable.Failure("put blob", name, fmt.Errorf("an earlier sync failed, open the store again: %w", s.broken))
	}
	if p, ok := s.flight[name]; ok {
		s.mu.Unlock()
		select {
		case <-p.done:
			return name, p.err
		case <-ctx.Done():
			return "", durable.ContextError(ctx, "put blob", name)
		}
	}
	p := &put{done: make(chan struct{})}
	s.flight[name] = p
	s.mu.Unlock()

	if err := s.store(name, sum[0], content); err != nil {
		p.err = durable.Failure("put blob", name, err)
	}
	s.mu.Lock()
	delete(s.flight, name)
	s.mu.Unlock()
	close(p.done)
	if p.err != nil {
		return "", p.err
	}
	return name, nil
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name[:2], name[2:]) }

func (s *Store) store(name string, shard byte, content []byte) error {
	folder := filepath.Join(s.dir, name[:2])
	info, err := os.Stat(s.path(name))
	switch {
	case err == nil && info.Mode().IsRegular() && info.Size() == int64(len(content)):
		return s.sure(shard, folder)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	// Not there, or damaged: written anew.
	if err := os.Mkdir(folder, 0o700); err == nil {
		if err := s.sync(s.dir); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.fs.writeSynced(filepath.Join(s.dir, "tmp"), s.path(name), content); err != nil {
		return err
	}
	if err := s.sync(folder); err != nil {
		return err
	}
	s.mu.Lock()
	s.shards[shard] = true
	s.mu.Unlock()
	return nil
}

// sure makes sure that a name found in folder is there after a crash too: an earlier process may
// have died between rename and sync. Once per folder is enough, since this one syncs its own.
func (s *Store) sure(shard byte, folder string) error {
	s.mu.Lock()
	done := s.shards[shard]
	s.mu.Unlock()
	if done {
		return nil
	}
	if err := s.sync(folder); err != nil {
		return err
	}
	s.mu.Lock()
	s.shards[shard] = true
	s.mu.Unlock()
	return nil
}

// sync syncs a folder. After a failure a second sync may succeed without the entries being on
// disk, so the store stops.
func (s *Store) sync(folder string) error {
	err := s.fs.syncDir(folder)
	if err != nil {
		s.mu.Lock()
		s.broken = err
		s.mu.Unlock()
	}
	return err
}

// Get implements sealing.Blobs.
func (s *Store) Get(ctx context.Context, sha string) ([]byte, error) {
	if err := durable.ContextError(ctx, "get blob", ""); err != nil {
		return nil, err
	}
	sum, err := hex.DecodeString(sha)
	if err != nil || len(sum) != sha256.Size || hex.EncodeToString(sum) != sha {
		return nil, domain.E(domain.KindInvalid, "get blob", "", "the name is not a lower-case hex SHA-256")
	}
	content, err := os.ReadFile(s.path(sha))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, domain.E(domain.KindNotFound, "get blob", sha, "no file "+s.path(sha))
	case err != nil:
		return nil, durable.Failure("get blob", sha, err)
	case sha256.Sum256(content) != [32]byte(sum):
		return nil, domain.E(domain.KindCorrupt, "get blob", sha, "the content of "+s.path(sha)+" does not match its name")
	}
	return content, nil
}
