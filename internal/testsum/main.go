// Testsum runs the tests of the module suite by suite and says plainly what happened.
//
//	go run ./internal/testsum          all suites
//	go run ./internal/testsum -race    the same with the race detector
//	go run ./internal/testsum domain   one suite
//
// Each package prints one line, as go test does, with its number of tests; output of failed tests
// follows in full, and its beginning once more at the end of the run. Each suite prints "suite seconds result", and the last line is
// "N passed, N failed". A suite is a top folder, so a new package is never left out.
//
// What counts: tests and subtests without subtests of their own. A package that does not build, or
// dies outside a test, counts as one failure, and so does a skipped test: a promise that nobody
// checked. The exit code is 0 only if nothing failed and at least one test ran.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	race := flag.Bool("race", false, "use the race detector")
	timeout := flag.Duration("timeout", 5*time.Minute, "limit for each package")
	flag.Parse()
	if err := run(os.Stdout, *race, *timeout, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
}

// order puts the quick and inner suites first; suites that are not named here follow by name.
var order = []string{"domain", "commands", "eventbus", "projections", "readapi", "infra", "app", "cli", "internal", rootSuite}

// longest are the packages that take longest, as paths below the module: their suites begin with them, so
// that none is left to run alone at the end while a processor has nothing to do.
var longest = []string{"infra/postgres", "infra/postgres/members", "internal/proctest", "internal/clustertest"}

// rootSuite holds the tests at the top, of package main.
const rootSuite = "program"

func run(out io.Writer, race bool, timeout time.Duration, only []string) error {
	begin := time.Now()
	suites, err := discover()
	if err != nil {
		return err
	}
	var lines []string
	var all counts
	for _, s := range suites {
		if len(only) > 0 && !slices.Contains(only, s.name) {
			continue
		}
		// One package more than there are processors: tests wait for databases, disks and deadlines about
		// half of their time.
		args := []string{"test", "-json", "-count=1", "-timeout", timeout.String(), "-p", strconv.Itoa(runtime.GOMAXPROCS(0) + 1)}
		if race {
			args = append(args, "-race")
		}
		start := time.Now()
		c, err := test(out, append(args, s.packages...))
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%-12s %7.1f s  %s", s.name, time.Since(start).Seconds(), c.result())
		fmt.Fprintf(out, "suite %s\n\n", line)
		lines = append(lines, line)
		all.add(c)
	}
	for _, why := range all.why {
		fmt.Fprintf(out, "failed: %s\n", why)
	}
	fmt.Fprintf(out, "%s\n%-12s %7.1f s\n%d passed, %d failed\n", strings.Join(lines, "\n"), "total", time.Since(begin).Seconds(), all.passed, all.failed)
	switch {
	case all.failed > 0:
		return fmt.Errorf("%d failed", all.failed)
	case all.passed == 0:
		return fmt.Errorf("no test ran")
	}
	return nil
}

type suite struct {
	name     string
	packages []string
}

// discover groups the packages of the module, with or without tests, by top folder. A package that
// cannot be loaded is among them (-e): it fails its own suite and not the whole run.
func discover() ([]suite, error) {
	cmd := exec.Command("go", "list", "-e", "./...")
	cmd.Stderr = os.Stderr
	raw, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	return group(strings.Fields(string(raw))), nil
}

func group(packages []string) []suite {
	var suites []suite
	for _, pkg := range packages {
		name, _, _ := strings.Cut(below(pkg), "/")
		if name == "" {
			name = rootSuite
		}
		i := slices.IndexFunc(suites, func(s suite) bool { return s.name == name })
		if i < 0 {
			i = len(suites)
			suites = append(suites, suite{name: name})
		}
		suites[i].packages = append(suites[i].packages, pkg)
	}
	for _, s := range suites {
		slices.SortStableFunc(s.packages, func(a, b string) int { return rank(longest, below(a)) - rank(longest, below(b)) })
	}
	slices.SortStableFunc(suites, func(a, b suite) int {
		ra, rb := rank(order, a.name), rank(order, b.name)
		if ra != rb {
			return ra - rb
		}
		return strings.Compare(a.name, b.name)
	})
	return suites
}

// rank is a name's place in a list, or the one behind it.
func rank(list []string, name string) int {
	if i := slices.Index(list, name); i >= 0 {
		return i
	}
	return len(list)
}

// below is a package's path without its module.
func below(pkg string) string {
	_, path, _ := strings.Cut(pkg, "/")
	return path
}

// test runs go with args and reads its events. The exit code is only a second witness: a go that
// failed without any failed event counts as one failure.
func test(out io.Writer, args []string) (counts, error) {
	cmd := exec.Command("go", args...)
	cmd.Stderr = out
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return counts{}, err
	}
	if err := cmd.Start(); err != nil {
		return counts{}, err
	}
	c, err := summarize(pipe, out)
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return c, err
	}
	if err := cmd.Wait(); err != nil && c.failed == 0 {
		fmt.Fprintf(out, "FAIL go %s: %v\n", strings.Join(args[:1], " "), err)
		c.failed++
	}
	return c, nil
}
