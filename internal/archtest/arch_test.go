package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The repository keeps its own rules. A failure lists every place with what to do instead.
func TestRepository(t *testing.T) {
	found, long, err := Check(filepath.Join("..", ".."))
	require.NoError(t, err)
	for _, f := range found {
		t.Error(f)
	}
	for _, name := range long {
		t.Logf("note: %s has more than %d lines", name, LinesMax)
	}
}

// fixture is a tree with every kind of breach. A comment "want: text" says what its line breaks;
// lines without one must pass.
var fixture = map[string]string{
	"domain/run/a.go": `package run

import (
	"context"           // want: domain may not import context
	"math/rand/v2"      // want: domain may not import math/rand/v2 && take a jitter function
	"strings"
	"sync"              // want: domain may not import sync
	clock "time"

	"quipu/commands"    // want: domain may not import commands
	"quipu/domain"
	"quipu/domain/domaintest" // want: made for tests

	"github.com/google/uuid" // want: domain may not import github.com/google/uuid
)

var now = clock.Now // want: mentions time.Now
var then = clock.Since(clock.Unix(0, 0)) // want: mentions time.Since

func f() { go f() } // want: goroutine
`,
	"domain/run/a_test.go": `package run

import (
	"testing"
	"testing/synctest"
	"time"

	"quipu/infra/memory"
)

func TestX(t *testing.T) {
	_ = time.Now()
	time.Sleep(1)           // want: calls time.Sleep
	synctest.Test(t, func(t *testing.T) { time.Sleep(1) })
	t.Skip("later")         // want: skips
	if testing.Short() {    // want: testing.Short
		t.SkipNow()         // want: skips
	}
}
`,
	"domain/domaintest/a.go": `package domaintest

import (
	"testing"
	"time"

	"pgregory.net/rapid"
	"quipu/eventbus" // want: domain may not import eventbus
	"quipu/infra/memory"
)

func F(tb testing.TB) { tb.Skipf("x"); time.Sleep(1) } // want: skips && calls time.Sleep
`,
	"commands/a.go": `package commands

import (
	"context"
	"os"
	"testing" // want: imports testing into the program
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/ThreeDotsLabs/watermill" // want: commands may not import github.com/ThreeDotsLabs/watermill

	"quipu/domain/run"
	"quipu/eventbus"     // want: commands may not import eventbus
	"quipu/commands/node"
	"quipu/infra/clock"  // want: commands may not import infra/clock
	"quipu/internal/x"   // want: commands may not import internal/x
	"quipu"              // want: commands may not import
	. "strings"          // want: into its own names
)

var def = time.Now
var t = time.Now()               // want: calls time.Now
var e = os.Getenv("X")           // want: calls os.Getenv
var c = context.Background()     // want: calls context.Background
`,
	"readapi/a.go": `package readapi

import (
	"quipu/projections"      // want: readapi may not import projections
	"quipu/projections/view"
	"quipu/projectionsx"     // want: readapi may not import projectionsx
)
`,
	"infra/a/a.go": `package a

import (
	"quipu/commands"
	"quipu/infra/a/inner"
	"quipu/infra/b"       // want: infra/a imports its sibling infra/b
	"quipu/infra/b/deep"  // want: infra/a imports its sibling infra/b
	"quipu/commands/logtest" // want: made for tests
	"anything.example/x"
	"quipu/internal/x"    // want: infra may not import internal/x
)
`,
	"infra/faulty/a.go": "package faulty\n\nimport \"quipu/infra/memory\"\n",
	"infra/sim/a.go":    "package sim\n\nimport (\n\t\"testing\"\n\n\t\"quipu/commands/logtest\"\n\t\"quipu/infra/memory\"\n)\n",
	"bench/a.go":        "package bench\n\nimport \"quipu/infra/postgres/pgtest\"\n",
	"infra/clock/a.go":  "package clock\n\nimport (\n\t\"math/rand/v2\"\n\t\"time\"\n)\n\nvar a, b = time.Now(), rand.Int()\n",
	"cellar/a.go":       "package cellar\n\nimport \"fmt\" // want: has no row\n",
	"eventbus/ugly.go":  "package   eventbus // want: is not formatted\n",
	"main.go":           "package main\n\nimport (\n\t\"context\"\n\n\t\"quipu/app\" // want: which only cli and docs may\n\t\"quipu/cli\"\n\t\"quipu/commands\" // want: may not import commands\n\t\"quipu/infra/config\"\n)\n\nvar c = context.Background()\n",
	"cli/a.go":          "package cli\n\nimport (\n\t\"context\"\n\n\t\"quipu/app/stores\"\n\t\"quipu/commands\"\n)\n\nvar c = context.Background() // want: calls context.Background\n",
	"cli/b_test.go":     "package cli\n\nimport \"quipu/app\"\n",
	"app/a.go":          "package app\n\nimport (\n\t\"quipu/app/stores\"\n\t\"quipu/cli\" // want: which only main may\n\t\"quipu/commands/logtest\" // want: made for tests\n\t\"quipu/infra/a\"\n)\n",
	"infra/sim/b.go":    "package sim\n\nimport \"quipu/app/stores\" // want: which only cli and docs may\n",
	"readapi/b_test.go": "package readapi\n\nimport \"quipu/app\" // want: which only cli and docs may\n",
	"docs/a_test.go":    "package docs\n\nimport \"quipu/app\"\n",
	"tools/go.mod":      "module quipu/tools\n",
	"tools/a.go":        "package   left\n\nimport \"time\"\n\nvar now = time.Now()\n",
	"domain/testdata/a.go": `package   left
`,
}

func TestCheck_FindsEveryBreachOfTheFixtureAndNothingElse(t *testing.T) {
	root := t.TempDir()
	want := map[string][]string{} // file:line -> texts
	for name, content := range fixture {
		path := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		for i, line := range strings.Split(content, "\n") {
			if _, texts, ok := strings.Cut(line, "// want: "); ok {
				want[place(name, i+1)] = strings.Split(texts, " && ")
			}
		}
	}
	found, _, err := Check(root)
	require.NoError(t, err)
	for _, f := range found {
		at := place(f.File, f.Line)
		if strings.Contains(f.Text, "is not formatted") && f.File != "eventbus/ugly.go" {
			continue // the fixture is aligned for the reader
		}
		rest := want[at][:0:0]
		matched := false
		for _, text := range want[at] {
			if !matched && strings.Contains(f.Text, text) {
				matched = true
				continue
			}
			rest = append(rest, text)
		}
		require.True(t, matched, "unexpected: %s", f)
		want[at] = rest
	}
	for at, texts := range want {
		require.Empty(t, texts, "%s: not found", at)
	}
}

func place(file string, line int) string { return Finding{File: file, Line: line}.String() }

func TestCheck_ListsLongFilesAndRefusesUnreadableOnes(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "domain"), 0o755))
	long := "package domain\n" + strings.Repeat("\n// x\n", LinesMax/2)
	require.NoError(t, os.WriteFile(filepath.Join(root, "domain", "long.go"), []byte(long), 0o600))
	found, names, err := Check(root)
	require.NoError(t, err)
	require.Empty(t, found)
	require.Equal(t, []string{"domain/long.go"}, names)

	require.NoError(t, os.WriteFile(filepath.Join(root, "domain", "broken.go"), []byte("package"), 0o600))
	_, _, err = Check(root)
	require.ErrorContains(t, err, "broken.go")
}

// An exception without a reason is a hole. Reasons for single files stand beside the rule.
func TestRules_AreWellFormed(t *testing.T) {
	for pair, reason := range siblings {
		require.NotEmpty(t, reason, pair)
	}
	for _, rule := range banned {
		require.NotEmpty(t, rule.hint)
		for _, call := range rule.calls {
			require.Regexp(t, regexp.MustCompile(`^[a-z/0-9]+(\.[A-Z]\w+)?$`), call)
		}
	}
}
