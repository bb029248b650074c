package raw

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Result is what a run of appenders reached.
type Result struct {
	Appenders int
	Appends   int
	Events    int
	Batches   int // 0 if the engine does not tell
	Elapsed   time.Duration
	Latency   Latency // of one append
}

// AppendsPerSecond is the rate over the whole run.
func (r Result) AppendsPerSecond() float64 { return float64(r.Appends) / r.Elapsed.Seconds() }

// Drive lets appenders call append in closed loops for a while: appender a makes its i-th append
// when the one before is answered. The first error ends the run.
func Drive(appenders int, duration time.Duration, eventsPerAppend int, append_ func(a, i int) error) (Result, error) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		all   []time.Duration
		first error
	)
	start := time.Now()
	for a := range appenders {
		wg.Go(func() {
			var own []time.Duration
			var err error
			for i, now := 0, time.Now(); err == nil && now.Sub(start) < duration; i++ {
				err = append_(a, i)
				done := time.Now()
				own = append(own, done.Sub(now))
				now = done
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, own...)
			if first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	r := Result{Appenders: appenders, Appends: len(all), Events: len(all) * eventsPerAppend, Elapsed: time.Since(start)}
	r.Latency = summarise(all)
	return r, first
}

// segmentBytes is how much is prepared at once, as the embedded log does.
const segmentBytes = 64 << 20

// batchAppendsMax bounds a batch, as in the embedded log.
const batchAppendsMax = 1024

// Segment measures the bare segment writer: one goroutine that takes what queued during the last
// flush, checksums it, writes it once and syncs it once, into zeroed segments; no index, no check
// of revisions, no reader. An event is eventBytes of data behind the embedded log's headers, in
// records of the same size.
func Segment(dir string, appenders int, duration time.Duration, eventsPerAppend, eventBytes int) (Result, error) {
	w, err := newSegmentWriter(dir)
	if err != nil {
		return Result{}, err
	}
	size := 40 + 40 + eventsPerAppend*(25+20+eventBytes) // record header, stream id, event headers and type
	record := make([][]byte, appenders)
	done := make([]chan error, appenders)
	for a := range record {
		record[a], done[a] = make([]byte, size), make(chan error, 1)
	}
	r, err := Drive(appenders, duration, eventsPerAppend, func(a, i int) error {
		b := record[a]
		binary.LittleEndian.PutUint64(b[8:], uint64(i))
		w.queue <- request{b, done[a]}
		return <-done[a]
	})
	close(w.queue)
	<-w.stopped
	<-w.prepared
	for _, name := range w.names {
		if rm := os.Remove(name); err == nil {
			err = rm
		}
	}
	r.Batches = w.batches
	return r, err
}

type request struct {
	record []byte
	done   chan error
}

type segmentWriter struct {
	dir     string
	names   []string // of all files made; belongs to prepareAhead
	queue   chan request
	stopped chan struct{}
	// prepared is closed when nothing is prepared any more.
	prepared chan struct{}
	next     chan *os.File
	file     *os.File
	end      int64
	batches  int
}

func newSegmentWriter(dir string) (*segmentWriter, error) {
	w := &segmentWriter{dir: dir, queue: make(chan request, batchAppendsMax), stopped: make(chan struct{}), prepared: make(chan struct{}), next: make(chan *os.File)}
	f, err := w.prepare()
	if err != nil {
		return nil, err
	}
	w.file = f
	go w.prepareAhead()
	go w.run()
	return w, nil
}

// prepare makes the next zeroed file. The files are kept until the end, as a log keeps its own:
// were they removed, later ones would reuse their blocks, which is faster on some machines than a
// log can ever be.
func (w *segmentWriter) prepare() (*os.File, error) {
	name := filepath.Join(w.dir, fmt.Sprintf("raw-%d.tmp", len(w.names)))
	w.names = append(w.names, name)
	return prepare(name, segmentBytes, Zeroed)
}

func (w *segmentWriter) prepareAhead() {
	defer close(w.prepared)
	for {
		f, err := w.prepare()
		if err != nil {
			f = nil // run reports it
		}
		select {
		case w.next <- f:
		case <-w.stopped:
			if f != nil {
				_ = f.Close() // never used
			}
			return
		}
	}
}

func (w *segmentWriter) run() {
	defer close(w.stopped)
	table := crc32.MakeTable(crc32.Castagnoli)
	var buf []byte
	var batch []request
	for r := range w.queue {
		batch = append(batch[:0], r)
	fill:
		for len(batch) < batchAppendsMax {
			select {
			case r, ok := <-w.queue:
				if !ok {
					break fill
				}
				batch = append(batch, r)
			default:
				break fill
			}
		}
		buf = append(buf[:0], make([]byte, 40)...)
		for _, r := range batch {
			binary.LittleEndian.PutUint32(r.record[4:], crc32.Checksum(r.record[8:], table))
			buf = append(buf, r.record...)
		}
		binary.LittleEndian.PutUint32(buf[36:], crc32.Checksum(buf[40:], table))
		err := w.write(buf)
		for _, r := range batch {
			r.done <- err
		}
		w.batches++
	}
	_ = w.file.Close() // all of it is synced
}

func (w *segmentWriter) write(b []byte) error {
	if w.end+int64(len(b)) > segmentBytes {
		next := <-w.next
		if next == nil {
			return os.ErrInvalid
		}
		_ = w.file.Close() // all of it is synced
		w.file, w.end = next, 0
	}
	if _, err := w.file.WriteAt(b, w.end); err != nil {
		return err
	}
	w.end += int64(len(b))
	return syscall.Fdatasync(int(w.file.Fd()))
}
