package embedded

import (
	"context"
	"errors"
	"path/filepath"
	"sync"

	"quipu/domain"
)

// Reader reads a log that it does not own: it takes no lock and writes nothing, so that it works on
// a read-only copy, and beside the process that appends.
//
// It shows what was complete when it was opened or last refreshed, always a prefix of the log. A
// batch counts as complete once it is written; the newest may not have been synced yet, so after
// power fails it may be gone from the log.
//
// Concurrency: safe. Memory: the index, as for Log.
type Reader struct {
	log     *Log
	refresh sync.Mutex
	next    domain.Position // after what was read so far; guarded by refresh
}

// OpenReadOnly opens the log in dir for reading. Of opts only FS and Logger matter.
//
// Errors: ErrInvalid for bad options; ErrNotFound, code NO_LOG, if dir holds no log; ErrUnavailable if it
// cannot be read; ErrCorrupt, with file and offset, for damage. What a crash left half written at
// the end is no damage and not shown.
func OpenReadOnly(dir string, opts Options) (*Reader, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	dir = filepath.ToSlash(dir)
	m, err := openMeta(opts.FS, dir)
	if err != nil {
		return nil, err
	}
	r := &Reader{next: 1, log: &Log{
		opts: opts, dir: dir, fs: opts.FS, logger: opts.Logger, meta: m, seed: m.salt.seed(),
		types: &typeNames{known: map[string]string{}},
		index: index{streams: map[domain.StreamID]*stream{}},
	}}
	if err := r.look(); err != nil {
		_ = r.log.release() // the first error says why
		return nil, err
	}
	return r, nil
}

// Refresh looks again: what has become complete meanwhile is shown from then on. Readers may go on.
//
// Errors: as OpenReadOnly; ErrUnavailable after Close. What was shown before stays.
func (r *Reader) Refresh(ctx context.Context) error {
	done, err := r.log.begin(ctx, "refresh", "log", 1)
	if err != nil {
		return err
	}
	defer done()
	return r.look()
}

func (r *Reader) look() error {
	r.refresh.Lock()
	defer r.refresh.Unlock()
	l := r.log
	numbers, err := listSegments(l.fs, l.dir)
	if err != nil {
		return err
	}
	// The last one known may have grown since.
	for i := max(len(l.index.segments)-1, 0); i < len(numbers); i++ {
		if err := r.read(numbers[i], i < len(numbers)-1); err != nil {
			return err
		}
	}
	return nil
}

// read adds what is new in one segment to the index.
func (r *Reader) read(number uint64, sealed bool) error {
	s, w, err := r.scan(number)
	if err == nil {
		err = s.frames(w)
	}
	if err != nil {
		return err
	}
	return s.finish(sealed)
}

// scan stands behind what is known of a segment, which it opens if nothing is.
func (r *Reader) scan(number uint64) (*scanner, *window, error) {
	l := r.log
	s := &scanner{seed: l.seed, next: r.next, batch: r.add}
	if number <= uint64(len(l.index.segments)) {
		s.seg = l.index.segments[number-1]
		s.end = s.seg.end
		w, err := s.window()
		return s, w, err
	}
	var err error
	if s.seg, err = openListed(l.fs, l.dir, number); err != nil {
		return nil, nil, err
	}
	w, err := s.window()
	if err == nil {
		err = s.header(w)
	}
	if err != nil {
		return nil, nil, errors.Join(err, s.seg.file.Close())
	}
	s.seg.first, s.seg.end = r.next, segmentHeaderBytes
	l.index.mu.Lock()
	l.index.segments = append(l.index.segments, s.seg)
	l.index.mu.Unlock()
	return s, w, nil
}

// add takes one verified frame into the index and shows it.
func (r *Reader) add(seg *segment, h *frameHeader, offset int64, payload []byte) error {
	l := r.log
	l.index.mu.Lock()
	err := l.indexBatch(seg, h, offset, payload)
	if err == nil {
		seg.end = offset + frameHeaderBytes + int64(h.payload)
	}
	l.index.mu.Unlock()
	if err == nil {
		r.next += domain.Position(h.events)
		l.tail.move(r.next - 1)
	}
	return err
}

// ID is that of the log; see commands.Log.
func (r *Reader) ID() domain.LogID { return r.log.ID() }

// Head returns the position of the newest event shown, 0 for none. Errors: as commands.Log.
func (r *Reader) Head(ctx context.Context) (domain.Position, error) { return r.log.Head(ctx) }

// ReadStream is that of commands.Log.
func (r *Reader) ReadStream(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	return r.log.ReadStream(ctx, stream, from, max)
}

// ReadStreamBackward is that of commands.Log.
func (r *Reader) ReadStreamBackward(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	return r.log.ReadStreamBackward(ctx, stream, from, max)
}

// ReadAll is that of commands.Log.
func (r *Reader) ReadAll(ctx context.Context, after domain.Position, max int) ([]domain.Recorded, error) {
	return r.log.ReadAll(ctx, after, max)
}

// Close closes the files once reads under way are done. A second Close does nothing.
func (r *Reader) Close() error {
	l := r.log
	l.use.Lock()
	defer l.use.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	return l.release()
}
