package wire_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"quipu/domain/name"
	"quipu/domain/wire"
)

var update = flag.Bool("update", false, "rewrite the golden files; review the difference")

// golden compares got with a file of testdata. These files are kept for ever: a stored event must
// stay readable, so a change here is a new version with an upcaster, never an edit.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		require.NoError(t, os.WriteFile(path, append(bytes.Clone(got), '\n'), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, strings.TrimSuffix(string(want), "\n"), string(got), file)
}

func TestEncodeRun_GoldenBytes(t *testing.T) {
	for _, s := range samples() {
		typ, data := wire.EncodeRun(s.event)
		require.True(t, strings.HasPrefix(s.name, typ), "%s encoded as %s", s.name, typ)
		require.True(t, json.Valid(data), s.name)
		golden(t, s.name+".golden.json", data)
		back, err := wire.DecodeRun(typ, data)
		require.NoError(t, err, s.name)
		require.Empty(t, cmp.Diff(s.event, back), s.name)
	}
}

var bound = name.Bound{FlowName: "Customer \"Support\"", RunName: "ticket/é", ExecutionID: "0190a0b0-0000-7000-8000-000000000001"}

func TestEncodeNameBound_GoldenBytes(t *testing.T) {
	typ, data := wire.EncodeNameBound(bound)
	require.Equal(t, "name.bound.v1", typ)
	golden(t, typ+".golden.json", data)
	back, err := wire.DecodeNameBound(typ, data)
	require.NoError(t, err)
	require.Equal(t, bound, back)
}

// Without this a new type could be written and never be pinned.
func TestGolden_CoversEveryTypeAndField(t *testing.T) {
	var covered []string
	for _, s := range samples() {
		typ, data := wire.EncodeRun(s.event)
		covered = append(covered, typ)
		if s.name == typ {
			requireEveryField(t, s)
		}
		require.NotContains(t, string(data), `"0001-`, "a zero instant is left out")
	}
	types := wire.RunTypes()
	slices.Sort(types)
	slices.Sort(covered)
	require.Equal(t, types, slices.Compact(covered))
}

// requireEveryField fails if a sample that stands for its type leaves a field empty.
func requireEveryField(t *testing.T, s sample) {
	t.Helper()
	cmp.Equal(s.event, s.event, cmp.FilterPath(func(p cmp.Path) bool {
		field, ok := p.Last().(cmp.StructField)
		// Iteration is 0 as long as there are no loops; a short error has no details; some fields came
		// later and have samples of their own, since stored bytes are never edited.
		later := []string{"Iteration", "WorkflowVersion", "Endpoint", "ConnectionID", "Metadata", "RetryOf", "Reused"}
		if ok && len(p) == 2 && !slices.Contains(later, field.Name()) && s.name != "run.llm_failed.v1" {
			v, _ := p.Last().Values()
			require.False(t, v.IsZero(), "%s: %s", s.name, field.Name())
		}
		return false
	}, cmp.Ignore()), cmpopts.EquateEmpty())
}

func TestCanonicalName(t *testing.T) {
	for typ, want := range map[string]string{
		"run.task_started.v1": "task_started", "run.llm_failed.v12": "llm_failed", "name.bound.v1": "bound", "odd": "odd", "": "",
	} {
		require.Equal(t, want, wire.CanonicalName(typ))
	}
	for _, typ := range wire.RunTypes() {
		ends := slices.Contains([]string{wire.RunCompleted, wire.RunFailed, wire.RunCancelled, wire.RunAbandoned}, typ)
		require.Equal(t, ends, wire.EndsRun(typ), typ)
	}
}
