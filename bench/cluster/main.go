// Command cluster measures several nodes as one system beside the embedded profile, in one run on the same
// machine: the real binary, its log server, PostgreSQL that flushes as by default, and NATS. See
// docs/benchmarks.md.
//
//	go run ./bench/cluster                # short points
//	go run ./bench/cluster -seconds 60    # official figures
//
// Timing never decides the exit code: it is 0 unless something failed.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"quipu/bench/flows"
	"quipu/bench/raw"
	"quipu/bench/report"
)

func main() {
	if err := runAll(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/cluster:", err)
		os.Exit(1)
	}
}

// bench is one run of the benchmarks.
type bench struct {
	point  time.Duration
	dir    string // everything is written below it
	bin    string
	report *report.Report
	fdata  raw.Latency
}

// profile is a way to run Quipu.
type profile struct {
	name  string
	nodes int
	// cluster says that log, views, keys, blobs and membership are outside of the node.
	cluster bool
}

var profiles = []profile{
	{"embedded", 1, false},
	{"one node on a log server and Postgres", 1, true},
	{"three nodes on a log server and Postgres", 3, true},
}

// fdatasyncs is enough for a stable median.
const fdatasyncs = 500

func runAll() error {
	seconds := flag.Float64("seconds", 4, "time per point; 60 for official figures")
	only := flag.String("only", "", "regexp of the profiles to measure")
	out := flag.String("json", "", "also write the figures as JSON to this file")
	parent := flag.String("dir", os.TempDir(), "folder on the disk to measure")
	root := flag.String("root", ".", "folder of the module")
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(*parent, "quipu-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // temporary, a leftover does no harm
	b := &bench{
		point: time.Duration(*seconds * float64(time.Second)), dir: dir, bin: filepath.Join(dir, "quipu"),
		report: &report.Report{Facts: report.GatherFacts(dir, append([]string{"go run ./bench/cluster"}, os.Args[1:]...)), Progress: os.Stderr},
	}
	if err := flows.Build(*root, b.bin, false); err != nil {
		return err
	}
	if b.fdata, err = raw.Fdatasync(dir, fdatasyncs, 4<<10, raw.Zeroed); err != nil {
		return err
	}
	b.report.Add(report.Row{Section: "disk", What: "fdatasync of 4 KiB overwritten, p50", Figure: millis(b.fdata.P50), Unit: "ms"})
	for _, p := range profiles {
		if !pattern.MatchString(p.name) {
			continue
		}
		fmt.Fprintln(os.Stderr, p.name)
		if err := b.measure(p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if err := b.report.WriteTable(os.Stdout); err != nil || *out == "" {
		return err
	}
	content, err := json.MarshalIndent(b.report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*out, content, 0o600)
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// measure measures one profile on fresh parts.
func (b *bench) measure(p profile) error {
	s, err := b.start(p)
	if err != nil {
		return err
	}
	for _, f := range []func(*bench, profile, *system) error{throughput, firstStep, failover} {
		if err := f(b, p, s); err != nil {
			_ = s.stop() // err says why
			return fmt.Errorf("%w; the nodes' last warnings: %q", err, s.warnings())
		}
	}
	return s.stop()
}
