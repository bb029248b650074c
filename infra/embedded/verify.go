package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"

	"quipu/domain"
	"quipu/infra/durable"
	"quipu/infra/embedded/vfs"
)

// Problem is one thing Verify found wrong. Place is zero where it does not apply.
type Problem struct {
	File     string // without folder
	Offset   int64
	Stream   domain.StreamID
	Revision domain.Revision
	Position domain.Position
	Damage   bool // false: only an unfinished write at the very end, which Open will cut off
	What     string
}

// String renders the problem with its place.
func (p Problem) String() string {
	s := fmt.Sprintf("%s offset %d", p.File, p.Offset)
	if p.Stream != "" {
		s += fmt.Sprintf(", stream %q revision %d position %d", p.Stream, p.Revision, p.Position)
	}
	return s + ": " + p.What
}

// Summary counts what Verify looked at.
type Summary struct {
	Segments int
	Batches  int
	Events   int
	Chained  int // events with a hash chain: those whose metadata holds prev or data_sha256
	Streams  int
	Bytes    int64
	Problems int
	Head     domain.Position
}

// Verify checks everything up to the head as it is now: every frame and append by its checksum,
// positions and revisions for gaps, and the hash chain of every stream of Quipu's own. Appends go
// on meanwhile. report is called for each problem, in order of place; it may be nil.
//
// Errors: ErrCanceled, ErrDeadline; ErrUnavailable after Close or if a file cannot be read. Damage
// is no error here: see Summary.Problems.
func (l *Log) Verify(ctx context.Context, report func(Problem)) (Summary, error) {
	done, err := l.begin(ctx, "verify", "log", 1)
	if err != nil {
		return Summary{}, err
	}
	defer done()
	l.index.mu.RLock()
	segments := make([]segment, len(l.index.segments))
	for i, s := range l.index.segments {
		segments[i] = segment{number: s.number, name: s.name, file: s.file, end: s.end}
	}
	l.index.mu.RUnlock()
	v := newVerifier(l.seed, report)
	for i := range segments {
		if err := v.segment(ctx, &segments[i], segments[i].end, i == len(segments)-1); err != nil {
			return v.sum, err
		}
	}
	return v.result(), nil
}

// VerifyDir checks a log that is not open, like Log.Verify, and changes nothing: it takes no lock
// either, so the folder may be a read-only copy. fsys nil means the machine's files.
//
// Errors: as Verify; ErrCorrupt if META, or a segment as a whole, is missing or unreadable.
func VerifyDir(ctx context.Context, dir string, fsys vfs.FS, report func(Problem)) (Summary, error) {
	if fsys == nil {
		fsys = vfs.OS{}
	}
	dir = filepath.ToSlash(dir)
	m, found, err := loadMeta(fsys, dir)
	if err != nil {
		return Summary{}, err
	}
	if !found {
		return Summary{}, corruptError(metaName, 0, "is missing")
	}
	names, err := fsys.List(dir)
	if err != nil {
		return Summary{}, fileError("verify", dir, err)
	}
	numbers, err := segmentNumbers(names)
	if err != nil {
		return Summary{}, err
	}
	v := newVerifier(m.salt.seed(), report)
	for i, number := range numbers {
		seg, err := openSegment(fsys, dir, number, false)
		if err != nil {
			return v.sum, err
		}
		err = v.segment(ctx, seg, 0, i == len(numbers)-1)
		if closeErr := seg.file.Close(); err == nil && closeErr != nil {
			err = fileError("verify", seg.name, closeErr)
		}
		if err != nil {
			return v.sum, err
		}
	}
	return v.result(), nil
}

// verifier walks a log from front to back.
//
// Memory: one chain entry (about 150 bytes) a stream.
type verifier struct {
	seed    uint32
	report  func(Problem)
	sum     Summary
	next    domain.Position
	streams map[domain.StreamID]*chain
}

// chain is the end of a stream so far.
type chain struct {
	next domain.Revision
	hash domain.Hash
}

func newVerifier(seed uint32, report func(Problem)) *verifier {
	if report == nil {
		report = func(Problem) {}
	}
	return &verifier{seed: seed, report: report, next: 1, streams: map[domain.StreamID]*chain{}}
}

func (v *verifier) problem(p Problem) {
	v.sum.Problems++
	v.report(p)
}

func (v *verifier) damage(seg *segment, offset int64, format string, args ...any) {
	v.problem(Problem{File: seg.name, Offset: offset, Damage: true, What: fmt.Sprintf(format, args...)})
}

func (v *verifier) result() Summary {
	v.sum.Streams = len(v.streams)
	v.sum.Head = v.next - 1
	return v.sum
}

// segment checks one file up to `end`, to its last frame if that is 0. A bad frame is reported, and
// the check goes on at the next good one.
func (v *verifier) segment(ctx context.Context, seg *segment, end int64, last bool) error {
	size, err := seg.file.Size()
	if err != nil {
		return fileError("verify", seg.name, err)
	}
	if end == 0 {
		if end, err = lastNonZero(seg.file, 0); err != nil {
			return fileError("verify", seg.name, err)
		}
		// A frame may end in zeros.
		end = min(size, end+frameHeaderBytes)
	}
	v.sum.Segments++
	w := window{file: seg.file, size: scanWindowBytes, end: size, reuse: true}
	b, err := w.peek(0, segmentHeaderBytes)
	if err != nil {
		return fileError("verify", seg.name, err)
	}
	if first, reason := decodeSegmentHeader(v.seed, seg.number, b); reason != "" {
		v.damage(seg, 0, "%s", reason)
	} else if first != v.next {
		v.damage(seg, 0, "starts at position %d, the segment before ends at %d", first, v.next-1)
		v.next = first
	}
	for offset := int64(segmentHeaderBytes); offset < end; {
		if err := durable.ContextError(ctx, "verify", "log"); err != nil {
			return err
		}
		n, what, err := v.frame(seg, &w, offset)
		if err != nil {
			return err
		}
		if what == "" {
			offset += n
			v.sum.Bytes += n
			continue
		}
		tail, err := lastNonZero(seg.file, offset)
		if err != nil {
			return fileError("verify", seg.name, err)
		}
		if tail == offset {
			return nil // zeros up to the end
		}
		later, err := laterFrame(seg, v.seed, offset, tail)
		if err != nil {
			return fileError("verify", seg.name, err)
		}
		if later == 0 {
			v.problem(Problem{File: seg.name, Offset: offset, Damage: !last, What: what})
			return nil
		}
		v.damage(seg, offset, "%s", what)
		offset = later
	}
	return nil
}

// frame checks the frame at offset and what is in it; what != "" says why it is no good.
func (v *verifier) frame(seg *segment, w *window, offset int64) (n int64, what string, err error) {
	b, err := w.peek(offset, frameHeaderBytes)
	if err != nil {
		return 0, "", fileError("verify", seg.name, err)
	}
	h, ok := decodeFrameHeader(b, v.seed, seg.number, offset)
	if !ok {
		return 0, "a frame has a wrong header checksum", nil
	}
	n = frameHeaderBytes + int64(h.payload)
	if b, err = w.peek(offset, int(n)); err != nil {
		return 0, "", fileError("verify", seg.name, err)
	}
	if int64(len(b)) < n {
		return 0, "a batch ends behind the file", nil
	}
	if h.first != v.next {
		v.damage(seg, offset, "a frame starts at position %d instead of %d", h.first, v.next)
		v.next = h.first
	}
	if h.kind == frameClosed {
		return n, "", nil
	}
	v.sum.Batches++
	payload := b[frameHeaderBytes:]
	if payloadChecksum(v.seed, payload) != h.crc {
		v.damage(seg, offset, "a batch has a wrong checksum")
	}
	v.records(seg, offset+frameHeaderBytes, payload)
	v.next = h.first + domain.Position(h.events)
	return n, "", nil
}

// records checks the appends of a batch, each by itself, so that all but the damaged one count.
func (v *verifier) records(seg *segment, offset int64, payload []byte) {
	for len(payload) > 0 {
		r, ok := decodeRecord(payload)
		if !ok {
			v.damage(seg, offset, "an append cannot be decoded")
			return
		}
		if recordChecksumOK(payload, r.bytes, v.seed) {
			v.record(seg, offset, &r)
		} else {
			v.damage(seg, offset, "an append has a wrong checksum")
		}
		payload = payload[r.bytes:]
		offset += int64(r.bytes)
	}
}

func (v *verifier) record(seg *segment, offset int64, r *record) {
	c := v.streams[domain.StreamID(r.stream)]
	if c == nil {
		c = &chain{}
		v.streams[domain.StreamID(r.stream)] = c
	}
	stream := domain.StreamID(r.stream)
	tell := func(i int, format string, args ...any) {
		v.problem(Problem{File: seg.name, Offset: offset, Stream: stream, Damage: true,
			Revision: r.revision + domain.Revision(i), Position: r.first + domain.Position(i), What: fmt.Sprintf(format, args...)})
	}
	known := true // the hash of the event before
	if r.revision != c.next {
		tell(0, "the stream goes on at revision %d instead of %d", r.revision, c.next)
		known = false
	}
	if r.first != v.next {
		tell(0, "an append starts at position %d instead of %d", r.first, v.next)
	}
	body := r.body
	for i := range r.events {
		e, rest, ok := nextEvent(body)
		if !ok {
			tell(i, "an event cannot be decoded")
			return
		}
		body = rest
		v.sum.Events++
		revision := r.revision + domain.Revision(i)
		hash := domain.HashEvent(stream, revision, string(e.typ), e.metadata)
		v.chained(&e, revision, hash, c.hash, known, func(format string, args ...any) { tell(i, format, args...) })
		c.hash, known = hash, true
	}
	c.next = r.revision + domain.Revision(r.events)
	v.next = r.first + domain.Position(r.events)
}

// chained checks an event of Quipu's own: its id is its hash, and its metadata names the event
// before and the data. Events from elsewhere have no such metadata.
func (v *verifier) chained(e *event, revision domain.Revision, hash, previous domain.Hash, known bool, tell func(string, ...any)) {
	var m struct {
		Prev *string `json:"prev"`
		Data *string `json:"data_sha256"`
	}
	if len(e.metadata) == 0 || json.Unmarshal(e.metadata, &m) != nil || m.Prev == nil && m.Data == nil {
		return
	}
	v.sum.Chained++
	if want := domain.UUIDv8(hash); e.id != want {
		tell("the event id is %s, its hash gives %s", e.id, want)
	}
	switch {
	case revision == 0 && m.Prev != nil:
		tell("the first event names an event before it")
	case revision > 0 && m.Prev == nil:
		tell("the event does not name the event before it")
	case revision > 0 && known && *m.Prev != previous.String():
		tell("the event names another event before it than is stored")
	}
	if sum := sha256.Sum256(e.data); m.Data != nil && *m.Data != hex.EncodeToString(sum[:]) {
		tell("the data is not what the event was hashed with")
	}
}
