// Package raw measures what the disk and the bare minimum of a log can do, as the yardstick for
// Quipu's own figures of the same run: machines are noisy and differ, ratios say more.
package raw

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Latency summarises how long one operation took.
type Latency struct {
	Count          int
	P50, P99, Mean time.Duration
}

// String renders the figures in milliseconds.
func (l Latency) String() string {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return fmt.Sprintf("p50 %.2f ms, p99 %.2f ms, mean %.2f ms (n=%d)", ms(l.P50), ms(l.P99), ms(l.Mean), l.Count)
}

func summarise(all []time.Duration) Latency {
	if len(all) == 0 {
		return Latency{}
	}
	slices.Sort(all)
	var sum time.Duration
	for _, d := range all {
		sum += d
	}
	return Latency{Count: len(all), P50: all[len(all)/2], P99: all[len(all)*99/100], Mean: sum / time.Duration(len(all))}
}

// Allocation says how the blocks behind a write came to be.
type Allocation string

// The ways of Fdatasync.
const (
	Growing   Allocation = "growing"   // the file is extended by every write
	Fallocate Allocation = "fallocate" // reserved, but never written
	Zeroed    Allocation = "zeroed"    // overwrites zeros already on disk
)

// Fdatasync measures n times a write of size bytes at the end of what was written, with its
// fdatasync, in a file in dir, which it removes.
func Fdatasync(dir string, n, size int, how Allocation) (_ Latency, err error) {
	f, err := prepare(filepath.Join(dir, "fdatasync.tmp"), int64(n)*int64(size), how)
	if err != nil {
		return Latency{}, err
	}
	defer func() {
		_ = f.Close() // its content is of no use
		_ = os.Remove(f.Name())
	}()
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i)
	}
	all := make([]time.Duration, 0, n)
	for i := range n {
		start := time.Now()
		if _, err := f.WriteAt(b, int64(i)*int64(size)); err != nil {
			return Latency{}, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return Latency{}, err
		}
		all = append(all, time.Since(start))
	}
	return summarise(all), nil
}

// prepare makes a file of that size in that way.
func prepare(name string, size int64, how Allocation) (*os.File, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	switch how {
	case Growing:
	case Fallocate:
		err = syscall.Fallocate(int(f.Fd()), 0, 0, size)
	case Zeroed:
		zeros := make([]byte, 1<<20)
		for offset := int64(0); offset < size && err == nil; offset += int64(len(zeros)) {
			_, err = f.WriteAt(zeros[:min(int64(len(zeros)), size-offset)], offset)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		_ = f.Close() // err says why
		return nil, err
	}
	return f, nil
}
