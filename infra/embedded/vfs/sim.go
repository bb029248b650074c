package vfs

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
)

// SectorBytes is what Sim keeps or loses as a whole at a crash, as disks do.
const SectorBytes = 512

// Call describes an operation that Sim is about to carry out.
type Call struct {
	Op     string // open, create, mkdir, list, rename, remove, syncdir, lock, read, write, truncate, datasync
	Name   string
	Offset int64
	Bytes  int
}

// ErrCrashed is what every operation says after Crash, until the files are used through the Sim
// that Crash returned.
var ErrCrashed = errors.New("the machine has crashed")

// Sim is a file system in memory that behaves like a disk behind a page cache: what is written is
// there for every reader, but survives Crash for sure only after Datasync (files) and SyncDir
// (names). Fault is asked before every operation.
//
// Concurrency: safe; Fault is called without Sim's lock held.
type Sim struct {
	// Fault may refuse an operation by returning an error. For a write, n bytes (0..Bytes) are
	// written before it fails.
	Fault func(Call) (n int, err error)

	mu      sync.Mutex
	crashed bool
	names   map[string]*simFile // as processes see them
	durable map[string]*simFile // as a crash leaves them, at least
	dirs    map[string]bool
	locks   map[string]bool
}

// simFile is the content of a file: as seen, and as surely on disk. dirty maps a sector to the
// contents it has had since the last Datasync, any of which may be on disk.
type simFile struct {
	seen    []byte
	durable []byte
	dirty   map[int64][][]byte
}

var _ FS = (*Sim)(nil)

// NewSim returns an empty file system.
func NewSim() *Sim {
	return &Sim{names: map[string]*simFile{}, durable: map[string]*simFile{}, dirs: map[string]bool{}, locks: map[string]bool{}}
}

func (s *Sim) fault(op, name string, offset int64, bytes int) (int, error) {
	if s.Fault == nil {
		return 0, nil
	}
	return s.Fault(Call{op, name, offset, bytes})
}

// do asks Fault, then runs f under the lock unless the machine has crashed.
func (s *Sim) do(op, name string, f func() error) error {
	if _, err := s.fault(op, name, 0, 0); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.crashed {
		return ErrCrashed
	}
	return f()
}

// Open implements FS.
func (s *Sim) Open(name string, _ bool) (f File, err error) {
	name = path.Clean(name)
	err = s.do("open", name, func() error {
		content := s.names[name]
		if content == nil {
			return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		f = &simHandle{fs: s, name: name, file: content}
		return nil
	})
	return f, err
}

// Create implements FS.
func (s *Sim) Create(name string) (f File, err error) {
	name = path.Clean(name)
	err = s.do("create", name, func() error {
		content := &simFile{dirty: map[int64][][]byte{}}
		s.names[name] = content
		f = &simHandle{fs: s, name: name, file: content}
		return nil
	})
	return f, err
}

// MkdirAll implements FS. Folders are durable at once: the log makes none whose loss would matter.
func (s *Sim) MkdirAll(name string) error {
	return s.do("mkdir", name, func() error { s.dirs[path.Clean(name)] = true; return nil })
}

// List implements FS.
func (s *Sim) List(name string) (names []string, err error) {
	name = path.Clean(name)
	err = s.do("list", name, func() error {
		for full := range s.names {
			if path.Dir(full) == name {
				names = append(names, path.Base(full))
			}
		}
		slices.Sort(names)
		return nil
	})
	return names, err
}

// Rename implements FS.
func (s *Sim) Rename(from, to string) error {
	from, to = path.Clean(from), path.Clean(to)
	return s.do("rename", from, func() error {
		content := s.names[from]
		if content == nil {
			return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
		}
		delete(s.names, from)
		s.names[to] = content
		return nil
	})
}

// Remove implements FS.
func (s *Sim) Remove(name string) error {
	name = path.Clean(name)
	return s.do("remove", name, func() error {
		if s.names[name] == nil {
			return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
		}
		delete(s.names, name)
		return nil
	})
}

// SyncDir implements FS.
func (s *Sim) SyncDir(name string) error {
	name = path.Clean(name)
	return s.do("syncdir", name, func() error {
		maps.DeleteFunc(s.durable, func(full string, _ *simFile) bool { return path.Dir(full) == name })
		for full, content := range s.names {
			if path.Dir(full) == name {
				s.durable[full] = content
			}
		}
		return nil
	})
}

// Lock implements FS.
func (s *Sim) Lock(name string) (c io.Closer, err error) {
	name = path.Clean(name)
	err = s.do("lock", name, func() error {
		if s.locks[name] {
			return ErrLocked
		}
		s.locks[name] = true
		if s.names[name] == nil {
			s.names[name] = &simFile{dirty: map[int64][][]byte{}}
		}
		c = simLock{s, name}
		return nil
	})
	return c, err
}

type simLock struct {
	fs   *Sim
	name string
}

func (l simLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	delete(l.fs.locks, l.name)
	return nil
}

// Crash stops this file system for good and returns what a machine finds after power came back:
// of every sector written since the last Datasync, rng picks one of the contents it has had, the
// old one included; of every name changed since the last SyncDir, the old or the new state.
func (s *Sim) Crash(rng *rand.Rand) *Sim {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crashed = true
	after := NewSim()
	maps.Copy(after.dirs, s.dirs)
	survivors := maps.Clone(s.durable)
	changed := map[string]bool{}
	for name := range s.names {
		changed[name] = s.names[name] != s.durable[name]
	}
	for name := range s.durable {
		changed[name] = changed[name] || s.names[name] != s.durable[name]
	}
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		if changed[name] && rng.IntN(2) == 0 {
			if content := s.names[name]; content != nil {
				survivors[name] = content
			} else if !s.renamedAway(name) {
				delete(survivors, name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(survivors)) {
		content := survivors[name].crash(rng)
		after.names[name], after.durable[name] = content, content
	}
	return after
}

// renamedAway reports whether a durable name is gone only because its file has another now; then
// the old name stays unless the new one is chosen, and keeping both is one of the allowed states.
func (s *Sim) renamedAway(name string) bool {
	for _, content := range s.names {
		if content == s.durable[name] {
			return true
		}
	}
	return false
}

func (f *simFile) crash(rng *rand.Rand) *simFile {
	b := slices.Clone(f.durable)
	for _, sector := range slices.Sorted(maps.Keys(f.dirty)) {
		versions := f.dirty[sector]
		i := rng.IntN(len(versions) + 1)
		if i == len(versions) {
			continue // the old content
		}
		end := int(sector*SectorBytes) + len(versions[i])
		if len(b) < end {
			b = append(b, make([]byte, end-len(b))...)
		}
		copy(b[sector*SectorBytes:], versions[i])
	}
	return &simFile{seen: b, durable: slices.Clone(b), dirty: map[int64][][]byte{}}
}

// Bytes returns the content of a file as processes see it, nil if there is none. Changing it changes
// what they read: that is how tests rot a disk.
func (s *Sim) Bytes(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.names[path.Clean(name)]
	if f == nil {
		return nil
	}
	return f.seen
}

// Names lists the files whose name starts with prefix.
func (s *Sim) Names(prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.Sorted(maps.Keys(s.names))
	return slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, prefix) })
}

type simHandle struct {
	fs   *Sim
	name string
	file *simFile
}

func (h *simHandle) ReadAt(b []byte, offset int64) (n int, err error) {
	err = h.fs.do("read", h.name, func() error {
		if offset >= int64(len(h.file.seen)) {
			return io.EOF
		}
		if n = copy(b, h.file.seen[offset:]); n < len(b) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

func (h *simHandle) WriteAt(b []byte, offset int64) (int, error) {
	n, fault := h.fs.fault("write", h.name, offset, len(b))
	if fault == nil {
		n = len(b)
	}
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.fs.crashed {
		return 0, ErrCrashed
	}
	h.file.write(b[:n], offset)
	if fault != nil {
		return n, &fs.PathError{Op: "write", Path: h.name, Err: fault}
	}
	return n, nil
}

func (f *simFile) write(b []byte, offset int64) {
	if len(b) == 0 {
		return
	}
	end := offset + int64(len(b))
	if int64(len(f.seen)) < end {
		f.seen = append(f.seen, make([]byte, end-int64(len(f.seen)))...)
	}
	copy(f.seen[offset:], b)
	for s := offset / SectorBytes; s*SectorBytes < end; s++ {
		content := f.seen[s*SectorBytes : min((s+1)*SectorBytes, int64(len(f.seen)))]
		f.dirty[s] = append(f.dirty[s], slices.Clone(content))
	}
}

func (h *simHandle) Size() (n int64, err error) {
	err = h.fs.do("size", h.name, func() error { n = int64(len(h.file.seen)); return nil })
	return n, err
}

// Truncate takes effect on disk at once; the log syncs right after it.
func (h *simHandle) Truncate(size int64) error {
	return h.fs.do("truncate", h.name, func() error {
		f := h.file
		f.seen = append(f.seen[:min(size, int64(len(f.seen)))], make([]byte, max(0, size-int64(len(f.seen))))...)
		f.durable = f.durable[:min(size, int64(len(f.durable)))]
		maps.DeleteFunc(f.dirty, func(s int64, _ [][]byte) bool { return (s+1)*SectorBytes > size })
		return nil
	})
}

func (h *simHandle) Datasync() error {
	return h.fs.do("datasync", h.name, func() error {
		f := h.file
		if n := len(f.seen) - len(f.durable); n > 0 {
			f.durable = append(f.durable, make([]byte, n)...)
		}
		for s := range f.dirty {
			copy(f.durable[s*SectorBytes:], f.seen[s*SectorBytes:min((s+1)*SectorBytes, int64(len(f.seen)))])
		}
		clear(f.dirty)
		return nil
	})
}

func (h *simHandle) Close() error { return nil }
