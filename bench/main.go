// Command bench measures the speed, the cost and the scale of Quipu: the real binary on a data
// folder of its own, and its parts in this process, each figure beside what the machine could do
// at best in the same run and beside its first target. See docs/benchmarks.md.
//
//	go run ./bench                 # everything, short points
//	go run ./bench -seconds 60     # the official figures
//	go run ./bench -only flows -cpuprofile cpu.out
//	go run ./bench -postgres       # views in Postgres, at 10,000,000 events
//
// Timing never decides the exit code: it is 0 unless something failed.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"quipu/bench/flows"
	"quipu/bench/raw"
	"quipu/bench/report"
)

func main() {
	if err := runAll(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run of the benchmarks.
type bench struct {
	seconds float64 // of a point
	dir     string  // everything is written below it
	bin     string  // the server
	profile string  // where the CPU profile of the server under 64 flows goes, "" for none
	report  *report.Report
	fdata   raw.Latency // measured once, first
	events  int         // of the past on Postgres
}

type section struct {
	name string
	run  func(*bench) error
}

// sections are in the order of the table. Each leaves nothing running and nothing on the disk.
var sections = []section{
	{"disk", disk},
	{"append", appends},
	{"flows", flowsOverHTTP},
	{"frames", frames},
	{"replay", replay},
	{"broadcast", broadcast},
	{"start", starts},
	{"agnt5", agents},
	{"memory", manyRuns},
	{"views", views},
	{"past", past},
	{"kill", kill},
}

// postgresSections need a Postgres server, which they start.
var postgresSections = []section{
	{"views", viewsOnPostgres},
	{"past", pastOnPostgres},
}

func runAll() error {
	seconds := flag.Float64("seconds", 4, "time per point; 60 for official figures")
	only := flag.String("only", "", "regexp of the sections to run: "+names())
	out := flag.String("json", "", "also write the figures as JSON to this file")
	profile := flag.String("cpuprofile", "", "write a CPU profile of the server under 64 flows at once to this file")
	onPostgres := flag.Bool("postgres", false, "measure views in Postgres instead; starts a server of its own")
	events := flag.Int("events", 10_000_000, "events of the past that -postgres measures, of 20,000 runs")
	parent := flag.String("dir", os.TempDir(), "folder on the disk to measure")
	root := flag.String("root", ".", "folder of the module")
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	if *onPostgres {
		sections = postgresSections
	}
	dir, err := os.MkdirTemp(*parent, "quipu-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // temporary, a leftover does no harm
	b := &bench{
		seconds: *seconds, events: *events, dir: dir, bin: filepath.Join(dir, "quipu"),
		report: &report.Report{Facts: report.GatherFacts(dir, append([]string{"go run ./bench"}, os.Args[1:]...)), Progress: os.Stderr},
	}
	if *profile != "" {
		if b.profile, err = filepath.Abs(*profile); err != nil {
			return err
		}
	}
	if err := flows.Build(*root, b.bin, b.profile != ""); err != nil {
		return err
	}
	if b.fdata, err = raw.Fdatasync(dir, fdatasyncs, 4<<10, raw.Zeroed); err != nil {
		return err
	}
	for _, s := range sections {
		if !pattern.MatchString(s.name) {
			continue
		}
		fmt.Fprintln(os.Stderr, s.name)
		if err := s.run(b); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if err := b.report.WriteTable(os.Stdout); err != nil {
		return err
	}
	return b.writeJSON(*out)
}

func (b *bench) writeJSON(name string) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := b.report.WriteJSON(f); err != nil {
		_ = f.Close() // err says why
		return err
	}
	return f.Close()
}

func names() string {
	var all []string
	for _, s := range sections {
		all = append(all, s.name)
	}
	return strings.Join(all, ", ")
}

func (b *bench) point() time.Duration { return time.Duration(b.seconds * float64(time.Second)) }

// temp makes a folder and returns what removes it.
func (b *bench) temp() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp(b.dir, "data-")
	return dir, func() { _ = os.RemoveAll(dir) }, err // below b.dir, which goes at the end
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func percent(f float64) string { return fmt.Sprintf("%.0f %%", 100*f) }
