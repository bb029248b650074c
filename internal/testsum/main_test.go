package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// module writes a module of its own and makes it the working folder.
func module(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module m\n\ngo 1.26\n"
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	t.Chdir(dir)
}

// summary runs the module's suites and returns the last line, all output and the error.
func summary(t *testing.T, files map[string]string) (last, all string, err error) {
	t.Helper()
	module(t, files)
	var out strings.Builder
	err = run(&out, false, time.Minute, nil)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	return lines[len(lines)-1], out.String(), err
}

const head = "package a\n\nimport \"testing\"\n\n"

func TestRun_CountsLeavesAndNamesSuites(t *testing.T) {
	last, all, err := summary(t, map[string]string{
		"domain/a/a_test.go": head + "func TestA(t *testing.T) { t.Run(\"x\", func(*testing.T) {}); t.Run(\"y\", func(*testing.T) {}) }\nfunc TestB(*testing.T) {}\n",
		"domain/none/n.go":   "package none\n",
		"zoo/a_test.go":      head + "func TestZ(*testing.T) {}\n",
		"a_test.go":          head + "func TestRoot(*testing.T) {}\n",
	})
	require.NoError(t, err, all)
	require.Equal(t, "5 passed, 0 failed", last)
	require.Regexp(t, `ok   m/domain/a  [0-9.]+s  3 passed`, all)
	require.Contains(t, all, "?    m/domain/none  no test files")
	require.Regexp(t, `(?s)suite domain .*suite program .*suite zoo .*\ndomain .*ok \(3 passed, 0 failed\)\nprogram .*\nzoo .*\ntotal `, all)
}

// Whatever goes wrong must fail the run and show why.
func TestRun_FailuresAreCountedAndShown(t *testing.T) {
	for name, c := range map[string]struct{ code, last, shows string }{
		"a failed test": {
			head + "func TestA(t *testing.T) { t.Error(\"because\") }\nfunc TestB(*testing.T) {}\n",
			"1 passed, 1 failed", "because",
		},
		"a failed subtest counts once": {
			head + "func TestA(t *testing.T) { t.Log(\"above\"); t.Run(\"x\", func(t *testing.T) { t.Error(\"because\") }) }\n",
			"0 passed, 1 failed", "because",
		},
		"a parent that fails by itself": {
			head + "func TestA(t *testing.T) { t.Run(\"x\", func(*testing.T) {}); t.Error(\"because\") }\n",
			"1 passed, 1 failed", "because",
		},
		"a skipped test": {
			head + "func TestA(t *testing.T) { t.Skip(\"because\") }\nfunc TestB(*testing.T) {}\n",
			"1 passed, 1 failed", "because",
		},
		"a panic": {
			head + "func TestA(*testing.T) {}\nfunc TestB(*testing.T) { panic(\"because\") }\n",
			"1 passed, 1 failed", "because",
		},
		"an early exit": {
			"package a\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc TestA(*testing.T) { os.Exit(3) }\n",
			"0 passed, 1 failed", "=== RUN   TestA",
		},
		"an exit that claims success": {
			"package a\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc TestA(*testing.T) { os.Exit(0) }\n",
			"0 passed, 1 failed", "os.Exit(0)",
		},
		"a test that does not build": {
			head + "func TestA(*testing.T) { undefined() }\n",
			"0 passed, 1 failed", "undefined: undefined",
		},
		"vet": {
			head + "func TestA(t *testing.T) { t.Logf(\"%d\", \"x\") }\n",
			"0 passed, 1 failed", "wrong type",
		},
		"no tests at all": {
			"package a\n",
			"0 passed, 0 failed", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			last, all, err := summary(t, map[string]string{"domain/a_test.go": c.code})
			require.Error(t, err, all)
			require.Equal(t, c.last, last, all)
			require.Contains(t, all, c.shows)
		})
	}
}

// Who sees only the end of a long run finds there what each failed test said first.
func TestRun_EndsWithTheReasons(t *testing.T) {
	_, all, err := summary(t, map[string]string{
		"domain/a_test.go": head + "func TestA(t *testing.T) { t.Cleanup(func() { for range 100 { t.Log(\"log of a server\") } }); t.Error(\"because\") }\n",
		"zoo/a_test.go":    head + "func TestZ(*testing.T) {}\n",
	})
	require.Error(t, err)
	_, end, found := strings.Cut(all, "suite zoo")
	require.True(t, found, all)
	require.Regexp(t, `failed: m/domain TestA\n +a_test.go:\d+: because\n`, end)
	require.Less(t, strings.Count(end, "log of a server"), 20)
}

// A package without tests must at least compile.
func TestRun_BrokenPackageWithoutTestsFails(t *testing.T) {
	last, all, err := summary(t, map[string]string{
		"domain/a/a_test.go": head + "func TestA(*testing.T) {}\n",
		"domain/b/b.go":      "package b\n\nvar x int = \"because\"\n",
	})
	require.Error(t, err, all)
	require.Equal(t, "1 passed, 1 failed", last, all)
	require.Contains(t, all, "because")
}

// One package whose imports cannot be found must not keep the others from being tested.
func TestRun_PackageThatCannotBeLoadedFailsAlone(t *testing.T) {
	last, all, err := summary(t, map[string]string{
		"domain/a/a_test.go": head + "func TestA(*testing.T) {}\n",
		"domain/b/b_test.go": "package b\n\nimport _ \"because.example/x\"\n",
	})
	require.Error(t, err, all)
	require.Equal(t, "1 passed, 1 failed", last, all)
	require.Contains(t, all, "because.example/x")
}

func TestSummarize_EventsThatEndInTheMiddleAreAFailure(t *testing.T) {
	var out strings.Builder
	c, err := summarize(strings.NewReader(`{"Action":"run","Package":"m/a","Test":"TestA"}
{"Action":"output","Package":"m/a","Test":"TestA","Output":"because\n"}
go: this is no event
`), &out)
	require.NoError(t, err)
	require.Equal(t, counts{failed: 1}, c)
	require.Contains(t, out.String(), "because")
	require.Contains(t, out.String(), "go: this is no event")
}

func TestGroup_BeginsWithWhatTakesLongest(t *testing.T) {
	suites := group([]string{"m", "m/domain", "m/internal/archtest", "m/internal/proctest", "m/infra/clock", "m/infra/postgres", "m/zoo"})
	require.Equal(t, []suite{
		{"domain", []string{"m/domain"}},
		{"infra", []string{"m/infra/postgres", "m/infra/clock"}},
		{"internal", []string{"m/internal/proctest", "m/internal/archtest"}},
		{rootSuite, []string{"m"}},
		{"zoo", []string{"m/zoo"}},
	}, suites)
}
