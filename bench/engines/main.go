// Command engines compares what could lie under the embedded log, in one run on one disk: SQLite
// (modernc), Pebble and Quipu's own segment files, each with the stream index an event log needs,
// and the bare segment writer without one. It is a module of its own so that the engines that were
// not chosen do not become dependencies of Quipu. Its results are in docs/adr/0002.
//
//	cd bench/engines && go run . -dir /var/tmp -duration 5s
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"quipu/bench/raw"
	"quipu/domain"
)

// engine appends events to a stream at an expected revision and answers when they are on disk.
// It is called by many appenders at once and groups their commits.
type engine interface {
	append(stream string, expected int64, events []domain.Pending) error
	close() error
}

const (
	eventsPerAppend  = 2
	eventBytes       = 350
	appendsPerStream = 6
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "engines:", err)
		os.Exit(1)
	}
}

func run() error {
	dir := flag.String("dir", os.TempDir(), "folder on the disk to measure")
	duration := flag.Duration("duration", 5*time.Second, "time per point")
	list := flag.String("appenders", "1,16,64,256", "numbers of appenders")
	flag.Parse()
	var appenders []int
	for _, s := range strings.Split(*list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			return err
		}
		appenders = append(appenders, n)
	}
	fmt.Printf("%s, %s, GOMAXPROCS %d, %d events of %d bytes an append, %s a point\n\n", time.Now().UTC().Format(time.DateOnly),
		runtime.Version(), runtime.GOMAXPROCS(0), eventsPerAppend, eventBytes, *duration)
	if err := fdatasyncs(*dir); err != nil {
		return err
	}
	fmt.Print("| engine |")
	for _, n := range appenders {
		fmt.Printf(" %d |", n)
	}
	fmt.Printf("\n|---|%s\n", strings.Repeat("---|", len(appenders)))
	for _, e := range []struct {
		name string
		open func(dir string) (engine, error)
	}{
		{"SQLite modernc, WAL, synchronous=FULL", openSQLite},
		{"Pebble v2, sync", openPebble},
		{"own segment files (infra/embedded)", openSegments},
		{"bare segment writer (bench/raw)", nil},
	} {
		fmt.Printf("| %s |", e.name)
		for _, n := range appenders {
			r, err := measure(*dir, e.open, n, *duration)
			if err != nil {
				return fmt.Errorf("%s at %d: %w", e.name, n, err)
			}
			fmt.Printf(" %.0f (%.2f / %.2f ms) |", r.AppendsPerSecond(), millis(r.Latency.P50), millis(r.Latency.P99))
		}
		fmt.Println()
	}
	fmt.Println("\nappends/s (p50 / p99 of one append)")
	return nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func fdatasyncs(dir string) error {
	for _, size := range []int{1 << 10, 4 << 10, 64 << 10, 256 << 10} {
		for _, how := range []raw.Allocation{raw.Growing, raw.Fallocate, raw.Zeroed} {
			l, err := raw.Fdatasync(dir, 500, size, how)
			if err != nil {
				return err
			}
			fmt.Printf("fdatasync after %3d KiB, %-9s %s\n", size>>10, how, l)
		}
	}
	fmt.Println()
	return nil
}

// measure runs one point on an empty folder.
func measure(parent string, open func(string) (engine, error), appenders int, duration time.Duration) (_ raw.Result, err error) {
	dir, err := os.MkdirTemp(parent, "engines-")
	if err != nil {
		return raw.Result{}, err
	}
	defer func() {
		if rm := os.RemoveAll(dir); err == nil {
			err = rm
		}
	}()
	if open == nil {
		return raw.Segment(dir, appenders, duration, eventsPerAppend, eventBytes)
	}
	e, err := open(dir)
	if err != nil {
		return raw.Result{}, err
	}
	var data [eventBytes]byte
	r, err := raw.Drive(appenders, duration, eventsPerAppend, func(a, i int) error {
		var events [eventsPerAppend]domain.Pending
		for j := range events {
			events[j] = domain.Pending{ID: eventID(a, i, j), Type: "run.task_started.v1", Data: data[:]}
		}
		stream := fmt.Sprintf("run-%08d-%08d", a, i/appendsPerStream)
		return e.append(stream, int64(i%appendsPerStream*eventsPerAppend)-1, events[:])
	})
	if closeErr := e.close(); err == nil {
		err = closeErr
	}
	return r, err
}

func eventID(a, i, j int) (id domain.EventID) {
	id[0], id[1], id[2] = 1, byte(a), byte(a>>8)
	for k := range 8 {
		id[8+k] = byte((i*eventsPerAppend + j) >> (8 * k))
	}
	return id
}
