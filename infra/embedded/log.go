package embedded

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"quipu/commands"
	"quipu/domain"
	"quipu/infra/embedded/vfs"
)

// Log is commands.Log on segment files in a folder of its own.
//
// Concurrency: safe. Open starts two goroutines, which Close waits for.
type Log struct {
	opts   Options
	dir    string
	fs     vfs.FS
	logger *slog.Logger
	meta   meta
	seed   uint32
	types  *typeNames
	lock   io.Closer

	closedInOrder bool  // what Open found at the end
	activeBytes   int64 // size of the last segment's file then

	// use is held for reading by every call while it touches files, and for writing by Close.
	use    sync.RWMutex
	closed bool

	index  index
	recent recent
	tail   tail
	writer writer
}

var _ commands.Log = (*Log)(nil)

// tail is the newest durable position, and the signal that it moved.
type tail struct {
	position atomic.Uint64

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every move; nil while nobody waits
}

// move makes p the head and wakes who waits for it.
func (t *tail) move(p domain.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.position.Store(uint64(p))
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// wait returns a channel that is closed when the head moves from p; nil if it already has.
func (t *tail) wait(p domain.Position) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.position.Load() != uint64(p) {
		return nil
	}
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	return t.changed
}

func (l *Log) head() domain.Position { return domain.Position(l.tail.position.Load()) }

// ID implements commands.Log.
func (l *Log) ID() domain.LogID { return domain.LogID(uuid.UUID(l.meta.id).String()) }

// Head implements commands.Log.
func (l *Log) Head(ctx context.Context) (domain.Position, error) {
	done, err := l.begin(ctx, "head of", "log", 1)
	if err != nil {
		return 0, err
	}
	defer done()
	return l.head(), nil
}

// Close implements commands.Log. It writes the mark of an orderly end, after which damage to
// the newest appends is told apart from a write that a crash cut short.
func (l *Log) Close() error {
	l.use.Lock()
	if l.closed {
		l.use.Unlock()
		return nil
	}
	l.closed = true
	l.use.Unlock()

	err := l.writer.stop()
	l.tail.move(l.head()) // wakes subscriptions, which then see closed
	l.use.Lock()          // readers that began before are done
	defer l.use.Unlock()
	return errors.Join(err, l.release())
}

// release closes every file and the lock.
func (l *Log) release() error {
	var errs []error
	for _, s := range l.index.segments {
		errs = append(errs, s.file.Close())
	}
	if l.lock != nil { // a Reader has none
		errs = append(errs, l.lock.Close())
	}
	return errors.Join(errs...)
}
