package vault

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"

	"quipu/domain"
	"quipu/infra/durable"
)

// The key table: a header, then frames. One frame is what one sync made durable, so only the last
// can be torn.
//
//	header   "quipu keys 1\n"
//	frame    "QKF1", count, CRC-32C of count and entries (both big-endian uint32), entries
//	entry    kind (1), SHA-256 of the stream id (32), wrapped key (69)
//
// A later entry of a stream replaces an earlier one. entryErased takes the key away; the bytes of
// the old entry go when the file is rewritten, which the format allows at any time.
const (
	tableName    = "keys.table"
	tableHeader  = "quipu keys 1\n"
	frameMagic   = "QKF1"
	frameHead    = 12
	wrappedBytes = masterIDBytes + 1 + 12 + keyBytes + 16 // master id, format, nonce, key, tag
	entryBytes   = 1 + sha256.Size + wrappedBytes

	entryKey    = 1
	entryErased = 2

	// frameEntriesMax bounds a frame and so what a crash can tear.
	frameEntriesMax = 512
	frameBytesMax   = frameHead + frameEntriesMax*entryBytes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// file is what the table needs of an *os.File; tests make it fail.
type file interface {
	ReadAt(b []byte, off int64) (int, error)
	WriteAt(b []byte, off int64) (int, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// streamKey is the start of a stream id's SHA-256: 16 bytes keep a million streams small in memory.
type streamKey [16]byte

// fileTable is Table in one file. Concurrent creations share a write and a sync.
type fileTable struct {
	path    string
	f       file
	masters map[[masterIDBytes]byte]bool // masters of the keys found at open
	lead    chan struct{}                // held by whoever writes

	mu      sync.Mutex
	index   map[streamKey]int64 // offset of the wrapped key
	size    int64               // end of the last good frame
	queue   *batch              // collects while another is written
	writing *batch
	broken  error
	closed  bool
}

// batch is the entries of one frame.
type batch struct {
	entries []byte
	at      map[streamKey]int // offset in entries of the wrapped key
	done    chan struct{}
	err     error
}

// Get implements Table.
func (t *fileTable) Get(ctx context.Context, stream string) ([]byte, error) {
	if err := durable.ContextError(ctx, "read data key of", stream); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(stream))
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, domain.E(domain.KindUnavailable, "read data key of", stream, "the vault is closed")
	}
	return t.read(stream, streamKey(sum[:16]))
}

// read returns a stored key. The caller holds mu, so that Close cannot come between.
func (t *fileTable) read(stream string, key streamKey) ([]byte, error) {
	off, ok := t.index[key]
	if !ok {
		return nil, domain.E(domain.KindNotFound, "read data key of", stream, "the stream has no data key")
	}
	wrapped := make([]byte, wrappedBytes)
	if _, err := t.f.ReadAt(wrapped, off); err != nil {
		return nil, durable.Failure("read data key of", stream, err)
	}
	return wrapped, nil
}

// Create implements Table.
//
// ctx done while waiting leaves the key to be written or not: either is fine, the next
// Create returns what is stored.
func (t *fileTable) Create(ctx context.Context, stream string, wrapped []byte) ([]byte, error) {
	if len(wrapped) != wrappedBytes {
		return nil, domain.E(domain.KindInternal, "create data key of", stream, "a wrapped key has another size")
	}
	sum := sha256.Sum256([]byte(stream))
	key := streamKey(sum[:16])
	for {
		b, stored, err := t.join(stream, sum, key, wrapped)
		if b == nil {
			return stored, err
		}
		if err := t.wait(ctx, b, stream); err != nil {
			return nil, err
		}
		if at, ok := b.at[key]; ok {
			return append([]byte{}, b.entries[at:at+wrappedBytes]...), nil
		}
		// b was full and is written now: try again.
	}
}

// join returns the batch to wait for, or the key if it is stored, or an error.
func (t *fileTable) join(stream string, sum [32]byte, key streamKey, wrapped []byte) (*batch, []byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return nil, nil, domain.E(domain.KindUnavailable, "create data key of", stream, "the vault is closed")
	case t.broken != nil:
		return nil, nil, durable.Failure("create data key of", stream, fmt.Errorf("an earlier write to %s failed, open the vault again: %w", t.path, t.broken))
	}
	if _, ok := t.index[key]; ok {
		stored, err := t.read(stream, key)
		return nil, stored, err
	}
	if t.writing != nil {
		if _, ok := t.writing.at[key]; ok {
			return t.writing, nil, nil
		}
	}
	if t.queue == nil {
		t.queue = &batch{at: make(map[streamKey]int), done: make(chan struct{})}
	}
	b := t.queue
	if _, ok := b.at[key]; !ok && len(b.at) < frameEntriesMax {
		b.entries = append(b.entries, entryKey)
		b.entries = append(b.entries, sum[:]...)
		b.at[key] = len(b.entries)
		b.entries = append(b.entries, wrapped...)
	}
	return b, nil, nil
}

// wait returns once b is on disk, writing it if nobody else is at it.
func (t *fileTable) wait(ctx context.Context, b *batch, stream string) error {
	for {
		select {
		case <-b.done:
			return b.err
		case <-ctx.Done():
			return durable.ContextError(ctx, "create data key of", stream)
		case t.lead <- struct{}{}:
			select {
			case <-b.done: // both were ready: what has queued since is its own waiters' work
			default:
				t.writeQueued()
			}
			<-t.lead
		}
	}
}

// writeQueued writes what has queued as one frame. The caller holds lead.
func (t *fileTable) writeQueued() {
	t.mu.Lock()
	b := t.queue
	t.queue, t.writing = nil, b
	size, broken := t.size, t.broken
	t.mu.Unlock()
	if b == nil {
		return
	}
	frame := encodeFrame(b.entries)
	err := broken
	fatal := false
	if err == nil {
		err, fatal = t.write(frame, size)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writing = nil
	if err != nil {
		b.err = durable.Failure("write key table", t.path, err)
		if fatal {
			t.broken = err
		}
	} else {
		for key, at := range b.at {
			t.index[key] = size + frameHead + int64(at)
		}
		t.size = size + int64(len(frame))
	}
	close(b.done)
}

// write puts frame on disk at offset. fatal means that what is on disk is unknown now: after a
// failed sync another one may succeed without the bytes being there.
func (t *fileTable) write(frame []byte, offset int64) (err error, fatal bool) {
	if _, err := t.f.WriteAt(frame, offset); err != nil {
		// Nothing was promised: cut off what may have been written, e.g. on a full disk.
		cut := t.f.Truncate(offset)
		return errors.Join(err, cut), cut != nil
	}
	err = t.f.Sync()
	return err, err != nil
}

func encodeFrame(entries []byte) []byte {
	frame := make([]byte, frameHead, frameHead+len(entries))
	copy(frame, frameMagic)
	binary.BigEndian.PutUint32(frame[4:], uint32(len(entries)/entryBytes))
	frame = append(frame, entries...)
	binary.BigEndian.PutUint32(frame[8:], frameSum(frame))
	return frame
}

func frameSum(frame []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame[4:8], castagnoli), castagnoli, frame[frameHead:])
}

// decodeFrame returns the frame at the start of b, false if there is no whole one.
func decodeFrame(b []byte) ([]byte, bool) {
	if len(b) < frameHead || string(b[:4]) != frameMagic {
		return nil, false
	}
	count := binary.BigEndian.Uint32(b[4:])
	if count == 0 || count > frameEntriesMax || len(b) < frameHead+int(count)*entryBytes {
		return nil, false
	}
	frame := b[:frameHead+int(count)*entryBytes]
	return frame, binary.BigEndian.Uint32(frame[8:]) == frameSum(frame)
}

// Close waits for a write under way and releases the file. Idempotent.
func (t *fileTable) Close() error {
	t.lead <- struct{}{}
	defer func() { <-t.lead }()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	if t.queue != nil {
		t.queue.err = domain.E(domain.KindUnavailable, "create data key", "", "the vault is closed")
		close(t.queue.done)
		t.queue = nil
	}
	return t.f.Close()
}

// openTable opens the key table at path, making it if it is not there.
func openTable(path string) (*fileTable, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, durable.Failure("open key table", path, err)
	}
	t, err := readTable(path, f)
	if err != nil {
		_ = f.Close() // the first error says why
		return nil, err
	}
	return t, nil
}

func readTable(path string, f *os.File) (*fileTable, error) {
	if err := lock(f); err != nil {
		return nil, domain.Wrap(domain.KindRefused, "open key table", path, fmt.Errorf("another process has it open: %w", err))
	}
	t := &fileTable{
		path: path, f: f, lead: make(chan struct{}, 1),
		masters: make(map[[masterIDBytes]byte]bool), index: make(map[streamKey]int64),
	}
	if err := t.load(f); err != nil {
		return nil, err
	}
	// Frames that a killed process wrote may be in memory only; they count from here on.
	if err := errors.Join(f.Sync(), durable.SyncDir(filepath.Dir(path))); err != nil {
		return nil, durable.Failure("open key table", path, err)
	}
	return t, nil
}
