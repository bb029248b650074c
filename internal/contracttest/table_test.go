package contracttest

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/contract-tests.md")

const root = "../.."

// parts are the families of statements: how many each has, and what its page is.
var parts = []struct {
	title, prefix string
	statements    []statement
	count         int
}{
	{"S0: LAO", "S0-", lao, 37},
	{"S1: AGNT5", "S1-", agnt5, 29},
	{"S2: the Orchestrator", "S2-", orchestrator, 23},
	{"Decisions", "D", decisions, 28},
}

// wire are the packages whose tests drive the binary itself over HTTP and sockets.
var wire = []string{"internal/contracttest", "internal/proctest", "internal/browsertest", "internal/explore"}

// shows are the statements whose numbers stand in a test's name: TestS0_26_27_D26_Order shows S0-26,
// S0-27 and D26.
func shows(test string) (ids []string) {
	family := ""
	for _, word := range strings.Split(strings.TrimPrefix(test, "Test"), "_") {
		n, err := strconv.Atoi(strings.TrimPrefix(word, "D"))
		switch {
		case word == "S0" || word == "S1" || word == "S2":
			family = word
			continue
		case err == nil && word == "D"+strconv.Itoa(n):
			ids = append(ids, word)
		case err == nil && family != "" && word == strconv.Itoa(n):
			ids = append(ids, family+"-"+word)
			continue
		}
		family = ""
	}
	return ids
}

// found is a test and the file it stands in, from the root.
type found struct{ name, file string }

func (f found) link() string { return fmt.Sprintf("[`%s`](../%s)", f.name, f.file) }

func (f found) onTheWire() bool { return slices.Contains(wire, path.Dir(f.file)) }

// allTests are the tests of the module, in the order of names.
func allTests(t *testing.T) (all []found) {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	require.NoError(t, filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return filepath.SkipDir
		case !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		for _, m := range declared.FindAllSubmatch(b, -1) {
			all = append(all, found{string(m[1]), filepath.ToSlash(rel)})
		}
		return err
	}))
	slices.SortFunc(all, func(a, b found) int { return strings.Compare(a.name+a.file, b.name+b.file) })
	return all
}

// Every statement has a test with its number that drives the binary; every number has a statement.
func TestTable_EveryStatementIsShownOverTheWire(t *testing.T) {
	shown, known := map[string]bool{}, map[string]bool{}
	tests := allTests(t)
	for _, p := range parts {
		require.Len(t, p.statements, p.count, p.title)
		for i, s := range p.statements {
			require.Equal(t, p.prefix+strconv.Itoa(i+1), s.id)
			require.NotContains(t, s.words, "|", s.id)
			known[s.id] = true
		}
	}
	for _, test := range tests {
		for _, id := range shows(test.name) {
			require.True(t, known[id], "%s in %s: there is no %s", test.name, test.file, id)
			shown[id] = shown[id] || test.onTheWire()
		}
	}
	for _, p := range parts {
		for _, s := range p.statements {
			if !shown[s.id] {
				t.Errorf("%s (%s): no test over the wire has this number in its name", s.id, s.words)
			}
		}
	}
}

func TestTable_NumbersOfNames(t *testing.T) {
	for name, want := range map[string][]string{
		"TestS0_7_One":            {"S0-7"},
		"TestS0_10_11_FlowStart":  {"S0-10", "S0-11"},
		"TestS1_24_D13_Size":      {"S1-24", "D13"},
		"TestS1_5_S1_27_Client":   {"S1-5", "S1-27"},
		"TestKill_D12_Resume":     {"D12"},
		"TestS0_36_Chromium_Once": {"S0-36"},
		"TestD3_10_000_Sockets":   {"D3"},
		"TestKeepalive_25_Bound":  nil,
		"TestDocs_Deep":           nil,
	} {
		require.Equal(t, want, shows(name), name)
	}
}

// The page equals the tests: run with -update after adding or renaming one with a number.
func TestTable_PageIsCurrent(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Statements of the contract and their tests

For whoever changes a wire form: what the clients that exist rely on, and the test that breaks if it
changes. S0 is LAO's published page, S1 AGNT5's, S2 the Orchestrator's; D are our decisions where the
pages are silent. A test shows the statements whose numbers stand in its name: ` + "`TestS1_24_D13_…`" + ` S1-24 and D13.

This page is made by ` + "`go test ./internal/contracttest -run Table -update`" + ` from the statements there and from the
names of all tests. Each statement has at least one test that drives the binary itself over HTTP and
sockets; what only clients do is shown with clients as published, in Chromium and in Node.js
(` + "`internal/browsertest`" + `). Beside them stand tests of the parts.
`)
	tests := allTests(t)
	for _, p := range parts {
		fmt.Fprintf(&b, "\n## %s\n\n| # | statement, in short | over the wire | beside |\n|---|---|---|---|\n", p.title)
		for _, s := range p.statements {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", s.id, s.words, cell(t, tests, s, true), cell(t, tests, s, false))
		}
	}
	file := filepath.Join(root, "docs", "contract-tests.md")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o644))
		return
	}
	have, err := os.ReadFile(file)
	require.NoError(t, err)
	want := strings.Split(b.String(), "\n")
	for _, line := range strings.Split(string(have), "\n") {
		if i := slices.Index(want, line); i >= 0 {
			want = slices.Delete(want, i, i+1)
		}
	}
	if b.String() != string(have) {
		t.Errorf("docs/contract-tests.md is not what the tests say; -update writes it. Lines it lacks:\n%s", strings.Join(want, "\n"))
	}
}

// cell lists the tests of a statement, numbered ones first.
func cell(t *testing.T, tests []found, s statement, onTheWire bool) string {
	t.Helper()
	var numbered, others []string
	beside := strings.Fields(s.beside)
	for _, test := range tests {
		if slices.Contains(shows(test.name), s.id) {
			require.NotContains(t, beside, test.name, "%s: it has the number in its name", s.id)
			if test.onTheWire() == onTheWire {
				numbered = append(numbered, test.link())
			}
		} else if slices.Contains(beside, test.name) && test.onTheWire() == onTheWire {
			others = append(others, test.link())
		}
	}
	for _, name := range beside {
		require.True(t, slices.ContainsFunc(tests, func(f found) bool { return f.name == name }), "%s: there is no %s", s.id, name)
	}
	return strings.Join(append(numbered, others...), ", ")
}
