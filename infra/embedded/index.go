package embedded

import (
	"sort"
	"strings"
	"sync"

	"quipu/domain"
	"quipu/infra/embedded/vfs"
)

// index finds events on disk. It is derived: everything in it comes from the segments.
//
// Memory: 16 bytes an append (a slice that doubles: up to 32), about 200 bytes a stream with an id
// of 40 bytes, 16 bytes per 64 KiB of log. A run of twelve events in seven appends thus costs
// about 370 bytes, 31 an event.
type index struct {
	mu       sync.RWMutex
	streams  map[domain.StreamID]*stream // inserted under mu and writer.mu, so either suffices to look up
	segments []*segment                  // by number, the last is the active one
}

// stream is where the appends of one stream are. id never changes.
type stream struct {
	id       domain.StreamID
	head     domain.Revision // guarded by index.mu
	appends  []place         // guarded by index.mu; elements never change once visible
	last     string          // type of the newest event; guarded by index.mu
	next     domain.Revision // guarded by writer.mu: head, counting appends that wait for the disk
	pendSeq  uint64          // guarded by writer.mu: the batch that holds the last of those
	inflight bool            // guarded by writer.mu: was in a batch whose fate is unknown
}

// place locates one append: its first revision, its segment's number and its record's offset.
type place struct {
	revision domain.Revision
	segment  uint32
	offset   uint32
}

func (p place) before(segment, offset uint32) bool {
	return p.segment < segment || p.segment == segment && p.offset < offset
}

// segment is one file. Everything but the file and number is guarded by index.mu.
type segment struct {
	number uint64
	name   string // without folder
	file   vfs.File
	first  domain.Position // of its first event
	end    int64           // behind its last complete frame
	marks  []mark
}

// mark says that a frame whose first event has this position starts at offset. Marks are at
// least markEveryBytes apart.
type mark struct {
	first  domain.Position
	offset int64
}

const markEveryBytes = 64 << 10

func (s *segment) mark(first domain.Position, offset int64) {
	if n := len(s.marks); n == 0 || offset-s.marks[n-1].offset >= markEveryBytes {
		s.marks = append(s.marks, mark{first, offset})
	}
}

// add returns the stream of that id, making it if needed. The caller holds mu, and writer.mu if
// the log is open.
func (x *index) add(id domain.StreamID) *stream {
	st := x.streams[id]
	if st == nil {
		// The caller may own the bytes behind id.
		id = domain.StreamID(strings.Clone(string(id)))
		st = &stream{id: id, head: domain.NoStream, next: domain.NoStream}
		x.streams[id] = st
	}
	return st
}

// intern returns the shared copy of a stream id that is in the index.
func (x *index) intern(id []byte) domain.StreamID {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if st := x.streams[domain.StreamID(id)]; st != nil {
		return st.id
	}
	return domain.StreamID(id)
}

// lookup returns a stream's head and appends; !ok if it has no events.
func (x *index) lookup(id domain.StreamID) (st *stream, head domain.Revision, appends []place, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	st = x.streams[id]
	if st == nil || st.head == domain.NoStream {
		return nil, 0, nil, false
	}
	return st, st.head, st.appends, true
}

// appendOf returns the index of the append that holds revision r.
func appendOf(appends []place, r domain.Revision) int {
	return sort.Search(len(appends), func(i int) bool { return appends[i].revision > r }) - 1
}

// bySegment returns the segment with that number.
func (x *index) bySegment(number uint32) *segment {
	x.mu.RLock()
	defer x.mu.RUnlock()
	i := sort.Search(len(x.segments), func(i int) bool { return x.segments[i].number >= uint64(number) })
	if i < len(x.segments) && x.segments[i].number == uint64(number) {
		return x.segments[i]
	}
	return nil
}

// locate returns where to start reading for the event after a position: a segment (by its place in
// the list) and an offset of a frame that starts at or before that event.
func (x *index) locate(after domain.Position) (i int, offset int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	i = max(sort.Search(len(x.segments), func(i int) bool { return x.segments[i].first > after+1 })-1, 0)
	marks := x.segments[i].marks
	m := sort.Search(len(marks), func(j int) bool { return marks[j].first > after+1 }) - 1
	if m < 0 {
		return i, segmentHeaderBytes
	}
	return i, marks[m].offset
}

// at returns the i-th segment and how far it may be read; nil beyond the last.
func (x *index) at(i int) (*segment, int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if i >= len(x.segments) {
		return nil, 0
	}
	return x.segments[i], x.segments[i].end
}
