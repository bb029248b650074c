package blobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"quipu/infra/durable"
)

// Count says what CopyTo or Verify saw.
type Count struct {
	Blobs   int // sound ones
	Bytes   int64
	Damaged int // whose content is not what the name says, or cannot be read; never copied
}

func (c *Count) add(d Count) {
	c.Blobs += d.Blobs
	c.Bytes += d.Bytes
	c.Damaged += d.Damaged
}

// shardsAtOnce is how many folders are copied or checked at once: syncs of small files wait for
// the disk more than for anything else.
const shardsAtOnce = 8

// CopyTo copies the store in dir, which another process may be writing to, into the folder `to`,
// which it makes; shards in it must not exist. The copy holds at least the blobs that were stored
// when CopyTo began and is durable when it returns. Each is checked against its name on the way;
// damaged is called for those that do not match, one at a time, and they are left out. It may be
// nil.
//
// Errors: ErrUnavailable if a folder cannot be read or something cannot be written, code DISK_FULL if there
// is no room; ErrCanceled, ErrDeadline. What was copied so far stays.
func CopyTo(ctx context.Context, dir, to string, damaged func(name string)) (Count, error) {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return Count{}, durable.Failure("copy blobs to", to, err)
	}
	c, err := walk(ctx, dir, to, damaged)
	if err != nil {
		return c, err
	}
	if err := durable.SyncDir(to); err != nil {
		return c, durable.Failure("copy blobs to", to, err)
	}
	return c, nil
}

// Verify checks every blob of the store in dir against its name and writes nothing. damaged and errors as
// for CopyTo.
func Verify(ctx context.Context, dir string, damaged func(name string)) (Count, error) {
	return walk(ctx, dir, "", damaged)
}

// walk goes through all shards, several at once, and copies them if there is a target.
func walk(ctx context.Context, dir, to string, damaged func(name string)) (sum Count, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Count{}, nil // a store that was never opened
	}
	if err != nil {
		return Count{}, durable.Failure("read blobs in", dir, err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	tell := func(name string) {
		mu.Lock()
		defer mu.Unlock()
		if damaged != nil {
			damaged(name)
		}
	}
	shards := make(chan string)
	var workers sync.WaitGroup
	for range shardsAtOnce {
		workers.Go(func() {
			for shard := range shards {
				c, failed := (&shardCopy{dir: dir, to: to, shard: shard, damaged: tell}).run(ctx)
				mu.Lock()
				sum.add(c)
				if err == nil && failed != nil {
					err = failed
					stop()
				}
				mu.Unlock()
			}
		})
	}
	for _, e := range entries {
		if e.IsDir() && isHex(e.Name(), 2) {
			shards <- e.Name()
		}
	}
	close(shards)
	workers.Wait()
	return sum, err
}

func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}

// shardCopy copies or, without a target, checks one folder.
type shardCopy struct {
	dir, to, shard string
	damaged        func(name string)
}

func (s *shardCopy) run(ctx context.Context) (c Count, err error) {
	from, to := filepath.Join(s.dir, s.shard), filepath.Join(s.to, s.shard)
	entries, err := os.ReadDir(from)
	if err != nil {
		return c, durable.Failure("read blobs in", from, err)
	}
	if s.to != "" {
		if err := os.Mkdir(to, 0o700); err != nil {
			return c, durable.Failure("copy blobs to", to, err)
		}
	}
	for _, e := range entries {
		if !isHex(e.Name(), 2*sha256.Size-2) {
			continue
		}
		if err := durable.ContextError(ctx, "read blobs in", s.dir); err != nil {
			return c, err
		}
		n, sound, err := s.blob(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()), s.shard+e.Name())
		switch {
		case err != nil:
			return c, err
		case sound:
			c.Blobs++
			c.Bytes += n
		default:
			c.Damaged++
			s.damaged(s.shard + e.Name())
		}
	}
	if s.to == "" {
		return c, nil
	}
	if err := durable.SyncDir(to); err != nil {
		return c, durable.Failure("copy blobs to", to, err)
	}
	return c, nil
}

// blob copies one blob and reports whether its content is what its name says; if not, nothing is
// left at the target.
func (s *shardCopy) blob(from, to, name string) (n int64, sound bool, err error) {
	in, err := os.Open(from)
	if err != nil {
		return 0, false, durable.Failure("read blob", from, err)
	}
	defer func() { _ = in.Close() }() // was only read
	hash := sha256.New()
	src := &source{Reader: in}
	if s.to == "" {
		n, _ = io.Copy(hash, src) // src remembers; a hash never fails to write
		return n, src.err == nil && hex.EncodeToString(hash.Sum(nil)) == name, nil
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, false, durable.Failure("copy blob to", to, err)
	}
	n, err = io.Copy(io.MultiWriter(out, hash), src)
	sound = src.err == nil && hex.EncodeToString(hash.Sum(nil)) == name
	switch {
	case src.err != nil:
		err = nil // of the source: told as damage
	case err == nil && sound:
		err = out.Sync()
	}
	err = errors.Join(err, out.Close())
	if err == nil && !sound {
		err = os.Remove(to)
	}
	if err != nil {
		return n, false, durable.Failure("copy blob to", to, err)
	}
	return n, sound, nil
}

// source remembers why it could not be read, so that this is told from a target that fails.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// Stat counts the blobs of the store in dir by their size, without reading them. Errors:
// ErrUnavailable.
func Stat(dir string) (c Count, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return durable.Failure("read blobs in", path, err)
		case d.IsDir() || !isHex(filepath.Base(filepath.Dir(path))+d.Name(), 2*sha256.Size):
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return durable.Failure("read blob", path, err)
		}
		c.Blobs++
		c.Bytes += info.Size()
		return nil
	})
	return c, err
}
