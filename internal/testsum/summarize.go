package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// counts is how many tests ended how.
type counts struct {
	passed, failed int
	why            []string // the beginning of what each failed test wrote
}

func (c *counts) add(other counts) {
	c.passed += other.passed
	c.failed += other.failed
	c.why = append(c.why, other.why...)
}

func (c counts) result() string {
	word := "ok"
	if c.failed > 0 {
		word = "FAILED"
	}
	return fmt.Sprintf("%s (%d passed, %d failed)", word, c.passed, c.failed)
}

// event is what go test -json writes a line for; see go doc test2json.
type event struct {
	Action, Package, ImportPath, Test, Output, FailedBuild string
	Elapsed                                                float64
}

// pkg gathers one package's events.
type pkg struct {
	counts
	output  map[string][]string // by test, "" for the package itself
	started []string            // tests that run and have not ended, in order
	parents map[string]bool     // tests that have subtests
	names   []string            // what failed, for the line
}

// summarize reads events until they end, writes a line for each package and the output of what
// failed, and returns the counts.
func summarize(in io.Reader, out io.Writer) (counts, error) {
	var total counts
	packages := map[string]*pkg{}
	builds := map[string][]string{} // output of the compiler, by import path
	lines := bufio.NewReader(in)
	for {
		raw, err := lines.ReadString('\n')
		if err == io.EOF && raw == "" {
			break
		}
		if err != nil && err != io.EOF {
			return total, err
		}
		var e event
		if json.Unmarshal([]byte(raw), &e) != nil {
			fmt.Fprint(out, raw) // go itself speaks; show it as it is
			continue
		}
		if e.Action == "build-output" {
			builds[e.ImportPath] = append(builds[e.ImportPath], e.Output)
		}
		if e.Package == "" {
			continue
		}
		p := packages[e.Package]
		if p == nil {
			p = &pkg{output: map[string][]string{}, parents: map[string]bool{}}
			packages[e.Package] = p
		}
		if p.take(e) {
			p.finish(e, builds[e.FailedBuild], out)
			total.add(p.counts)
			delete(packages, e.Package)
		}
	}
	// Events that stop in the middle of a package mean that go died: that is no pass.
	for name, p := range packages {
		fmt.Fprintf(out, "FAIL %s: its events end in the middle\n%s", name, p.all())
		p.failed++
		total.add(p.counts)
	}
	return total, nil
}

// take notes one event and reports whether the package has ended.
func (p *pkg) take(e event) (ended bool) {
	switch e.Action {
	case "run":
		p.started = append(p.started, e.Test)
		for i := range e.Test {
			if e.Test[i] == '/' {
				p.parents[e.Test[:i]] = true
			}
		}
	case "output":
		p.output[e.Test] = append(p.output[e.Test], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			return true
		}
		p.started = slices.DeleteFunc(p.started, func(name string) bool { return name == e.Test })
		p.end(e)
	}
	return false
}

func (p *pkg) end(e event) {
	switch {
	case e.Action == "pass" && p.parents[e.Test]:
	case e.Action == "pass":
		p.passed++
		delete(p.output, e.Test)
	case e.Action == "skip":
		p.failed++
		p.names = append(p.names, e.Test+" (skipped)")
	case p.parents[e.Test] && p.belowFailed(e.Test):
		// Counted through the subtest that failed it; its own output is still shown.
		p.names = append(p.names, e.Test)
	default:
		p.failed++
		p.names = append(p.names, e.Test)
	}
}

func (p *pkg) belowFailed(test string) bool {
	return slices.ContainsFunc(p.names, func(name string) bool { return strings.HasPrefix(name, test+"/") })
}

// finish writes the package's line and, if it failed, everything that tells why.
func (p *pkg) finish(e event, build []string, out io.Writer) {
	if e.Action == "skip" { // go's word for a package without tests
		fmt.Fprintf(out, "?    %s  no test files\n", e.Package)
		return
	}
	if e.Action == "fail" && (p.failed == 0 || len(p.started) > 0) {
		p.failed++ // it did not build, or died outside or in the middle of a test
		p.names = append(p.names, p.started...)
	}
	if p.failed == 0 {
		fmt.Fprintf(out, "ok   %s  %.2fs  %d passed\n", e.Package, e.Elapsed, p.passed)
		return
	}
	fmt.Fprintf(out, "FAIL %s  %.2fs  %d passed, %d failed\n", e.Package, e.Elapsed, p.passed, p.failed)
	fmt.Fprint(out, strings.Join(build, ""))
	for _, name := range p.names {
		output := p.output[strings.TrimSuffix(name, " (skipped)")]
		fmt.Fprint(out, strings.Join(output, ""))
		p.why = append(p.why, beginning(e.Package+" "+name, output))
	}
	fmt.Fprint(out, strings.Join(p.output[""], ""))
}

// whyLines is how much of a failed test's output is repeated at the end of the run. Its own words come first,
// the logs of its servers, printed when it is cleaned up, last.
const whyLines = 12

func beginning(name string, output []string) string {
	lines := strings.SplitAfter(strings.Join(output, ""), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, "=== ") || strings.TrimSpace(line) == ""
	})
	return name + "\n" + strings.Join(lines[:min(len(lines), whyLines)], "")
}

func (p *pkg) all() string {
	var b strings.Builder
	for _, name := range append(slices.Clone(p.started), "") {
		b.WriteString(strings.Join(p.output[name], ""))
	}
	return b.String()
}
