package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"quipu/bench/flows"
	"quipu/bench/report"
	"quipu/domain"
	"quipu/infra/embedded"
)

const (
	manyFlows       = 20_000
	manyConcurrency = 64
)

// manyRuns measures what many runs leave behind: in memory and on the disk.
func manyRuns(b *bench) error {
	data, remove, err := b.temp()
	if err != nil {
		return err
	}
	defer remove()
	s, err := flows.Start(flows.Options{Bin: b.bin, Data: data})
	if err != nil {
		return err
	}
	written, err := b.manyRuns(s)
	if err != nil {
		_ = s.Kill() // err says why
		return err
	}
	if err := s.Stop(); err != nil {
		return err
	}
	events, bytes, err := sizeOf(data)
	if err != nil {
		return err
	}
	files, err := filesBytes(data)
	if err != nil {
		return err
	}
	const kib = 1024 * manyFlows
	b.report.Add(report.Row{
		Section: "disk use", What: "written per flow at 64 at once", Figure: float64(written) / kib, Unit: "KiB",
		Raw: float64(bytes) / kib, RawUnit: "KiB (its events)", Ratio: float64(written) / float64(bytes), Target: report.RatioAtMost(4),
		Note: fmt.Sprintf("%.1f events a flow; sectors the disk wrote meanwhile, whoever's; the files have %.1f KiB a flow, the last segments' rest included", float64(events)/manyFlows, float64(files)/kib),
	})
	return nil
}

func (b *bench) manyRuns(s *flows.Server) (written int64, err error) {
	idle, err := s.SettledRSS()
	if err != nil {
		return 0, err
	}
	b.report.Add(report.Row{Section: "memory", What: "resident when idle", Figure: float64(idle) / 1e6, Unit: "MB", Target: report.AtMost(60)})
	before, err := deviceWritten(b.dir)
	if err != nil {
		return 0, err
	}
	r, err := flows.Load{Addr: s.Addr, Flow: flows.Noop(), Concurrency: manyConcurrency, Flows: manyFlows}.Run()
	if err != nil {
		return 0, err
	}
	after, err := deviceWritten(b.dir)
	if err != nil {
		return 0, err
	}
	then, err := s.SettledRSS()
	if err != nil {
		return 0, err
	}
	b.report.Add(report.Row{
		Section: "memory", What: "resident after 20,000 runs", Figure: float64(then) / 1e6, Unit: "MB", Target: report.AtMost(200),
		Note: fmt.Sprintf("the runs took %.1f s, %.0f steps/s", r.Elapsed.Seconds(), r.StepsPerSecond()),
	})
	return after - before, nil
}

// sizeOf counts the events of a stopped server and their bytes: data, metadata, type and id.
func sizeOf(data string) (events int, bytes int64, err error) {
	log, err := embedded.Open(logDir(data), embedded.Options{})
	if err != nil {
		return 0, 0, err
	}
	defer func() {
		if closed := log.Close(); err == nil {
			err = closed
		}
	}()
	for after := domain.Position(0); ; {
		page, err := log.ReadAll(context.Background(), after, 1000)
		if err != nil || len(page) == 0 {
			return events, bytes, err
		}
		for i := range page {
			e := &page[i]
			after = e.Position
			events++
			bytes += int64(len(e.Data) + len(e.Metadata) + len(e.Type) + len(e.ID))
		}
	}
}

// filesBytes is the size of all files below dir.
func filesBytes(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

// sectorBytes is the unit of /proc/diskstats, whatever the disk's own sectors are.
const sectorBytes = 512

// deviceWritten flushes all caches and returns the bytes that the disk below dir has written so
// far. A process's own count in /proc/<pid>/io is of no use: since file systems keep files in large
// folios it counts a whole one, up to megabytes, for each small write into it.
func deviceWritten(dir string) (int64, error) {
	syscall.Sync()
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return 0, err
	}
	dev := uint64(st.Dev)
	major, minor := dev>>8&0xfff|dev>>32&^uint64(0xfff), dev&0xff|dev>>12&^uint64(0xff)
	b, err := os.ReadFile("/proc/diskstats")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) > 9 && f[0] == strconv.FormatUint(major, 10) && f[1] == strconv.FormatUint(minor, 10) {
			sectors, err := strconv.ParseInt(f[9], 10, 64)
			return sectors * sectorBytes, err
		}
	}
	return 0, fmt.Errorf("%s: device %d:%d is not in /proc/diskstats", dir, major, minor)
}
