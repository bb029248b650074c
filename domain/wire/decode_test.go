package wire_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// What a user sent comes back byte for byte, wherever it stands.
func TestValue_BytesInAreBytesOut(t *testing.T) {
	for _, j := range hostileJSON {
		for _, v := range []domain.Value{
			raw(j), raw(`{"k": ` + j + ` }`), {JSON: []byte(`[null,` + j + `]`), Holes: []domain.Hole{{At: "/0", Sealed: "s1", FP: "f"}}},
		} {
			for _, e := range []run.Event{
				run.TaskStarted{Input: v},
				run.TaskCompleted{Output: v},
				run.Started{Definition: v, Input: v},
				run.Completed{Results: v},
				run.CallCompleted{Family: "llm", Details: v},
				run.TaskFailed{Partial: v, Error: run.ErrorInfo{Details: v}},
			} {
				typ, data := wire.EncodeRun(e)
				back, err := wire.DecodeRun(typ, data)
				require.NoError(t, err, j)
				if _, isStarted := e.(run.TaskFailed); isStarted || typ != "" {
					require.Empty(t, cmp.Diff(e, back), j)
				}
			}
		}
	}
}

// White space around a value belongs to the document it came in, not to the value.
func TestValue_SpaceAroundIsCut(t *testing.T) {
	typ, data := wire.EncodeRun(run.TaskCompleted{Output: raw(" \n{\"a\": 1}\t")})
	require.Contains(t, string(data), `"output":{"json":{"a": 1}}`)
	back, err := wire.DecodeRun(typ, data)
	require.NoError(t, err)
	require.Equal(t, `{"a": 1}`, string(back.(run.TaskCompleted).Output.JSON))
}

func TestDecodeRun_RoundTrips(t *testing.T) {
	all := samples()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		v := domain.Value{JSON: []byte(rapid.SampledFrom(hostileJSON).Draw(t, "json"))}
		for range rapid.IntRange(0, 3).Draw(t, "holes") {
			if rapid.Bool().Draw(t, "blob") {
				v.Holes = append(v.Holes, domain.Hole{At: text.Draw(t, "at"), Blob: "b" + text.Draw(t, "blob"), Bytes: rapid.Int64Min(0).Draw(t, "bytes")})
			} else {
				v.Holes = append(v.Holes, domain.Hole{At: text.Draw(t, "at"), Sealed: text.Draw(t, "id"), FP: text.Draw(t, "fp")})
			}
		}
		when := at(rapid.IntRange(-1e9, 1e9).Draw(t, "ms"))
		info := run.ErrorInfo{Type: text.Draw(t, "type"), Code: text.Draw(t, "code"), Message: text.Draw(t, "message")}
		n := rapid.IntRange(0, 1<<30).Draw(t, "n")
		task := text.Draw(t, "task")
		e := rapid.SampledFrom([]run.Event{
			run.Started{RunID: task, Source: "s", FlowName: text.Draw(t, "flow"), Definition: v, Input: v, Secrets: []run.Secret{{ID: task, Ciphertext: info.Code}, {ID: "s9", Blob: info.Code, Bytes: 0}}},
			run.Abandoned{RunID: task},
			run.TaskStarted{Task: task, TaskID: task, Iteration: n, Node: info.Code, Function: info.Type, Input: v, Deadline: when},
			run.TaskAttemptStarted{Task: task, TaskID: task, Attempt: n, Node: info.Code, Reason: info.Message},
			run.TaskCompleted{Task: task, Attempt: n, StartedAt: when, Output: v, Gates: []run.GateResult{{Edge: n, Holds: true}}},
			run.TaskFailed{Task: task, StartedAt: when, Error: info, Partial: v},
			run.TaskRetryScheduled{Task: task, Attempt: n, Error: info, RetryAt: when},
			run.TaskSkipped{Task: task, Reason: info.Message},
			run.CallStarted{Family: "tool", Task: task, Attempt: n, Function: info.Type},
			run.CallCompleted{Family: "llm", Task: task, Attempt: n, Function: info.Type, StartedAt: when, Details: v},
			run.CallFailed{Family: "tool", Task: task, Attempt: n, StartedAt: when, Error: info},
			run.Completed{StartedAt: when, Results: v},
			run.Failed{StartedAt: when, Task: task, Error: info, Results: v},
			run.Cancelled{StartedAt: when, Reason: info.Message, Results: v},
			all[n%len(all)].event,
		}).Draw(t, "event")
		typ, data := wire.EncodeRun(e)
		back, err := wire.DecodeRun(typ, data)
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if diff := cmp.Diff(e, back); diff != "" {
			t.Fatal(diff)
		}
	})
}

// An event this version cannot read must stop the fold, not vanish from it.
func TestDecodeRun_RefusesWhatItDoesNotKnow(t *testing.T) {
	code := func(err error) string {
		var e *domain.Error
		require.True(t, errors.As(err, &e))
		return e.Code
	}
	for _, typ := range []string{"run.started.v2", "run.timer_set.v2", "name.bound.v1", "", "RUN.STARTED.V1"} {
		_, err := wire.DecodeRun(typ, []byte(`{}`))
		require.ErrorIs(t, err, domain.ErrCorrupt)
		require.Equal(t, "UNKNOWN_EVENT", code(err))
	}
	_, err := wire.DecodeNameBound("name.bound.v2", []byte(`{}`))
	require.ErrorIs(t, err, domain.ErrCorrupt)
	require.Equal(t, "UNKNOWN_EVENT", code(err))
	_, err = wire.DecodeNameBound(wire.NameBound, []byte(`{"flow_name":"f","run_name":"r","execution_id":"x","more":1}`))
	require.ErrorIs(t, err, domain.ErrCorrupt)

	for _, s := range samples() {
		typ, data := wire.EncodeRun(s.event)
		body := strings.TrimSuffix(string(data), "}")
		for name, bad := range map[string]string{
			"unknown field": body + `,"new_field":1}`, "cut": body, "empty": "", "array": "[]", "null": "null",
			"trailing": string(data) + "{}", "trailing text": string(data) + " x",
		} {
			_, err := wire.DecodeRun(typ, []byte(bad))
			require.ErrorIs(t, err, domain.ErrCorrupt, "%s: %s", typ, name)
			require.Empty(t, code(err), "%s: %s", typ, name)
		}
	}
	for typ, bad := range map[string]string{
		wire.RunTaskStarted:   `{"task":"a","input":{"json":1,"extra":2}}`,
		wire.RunTaskCompleted: `{"task":"a","output":{"json":1,"holes":[{"at":"","odd":1}]}}`,
		wire.RunTaskFailed:    `{"task":"a","error":{"type":"t","stack":"x"}}`,
		wire.RunCompleted:     `{"started_at":"2026-01-02"}`,
	} {
		_, err := wire.DecodeRun(typ, []byte(bad))
		require.ErrorIs(t, err, domain.ErrCorrupt, fmt.Sprint(typ, bad))
	}
}

// Whatever bytes a damaged disk gives: an error or an event, never a panic.
func FuzzDecodeRun(f *testing.F) {
	types := wire.RunTypes()
	for _, s := range samples() {
		typ, data := wire.EncodeRun(s.event)
		for i, known := range types {
			if known == typ {
				f.Add(uint8(i), data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		typ := types[int(which)%len(types)]
		e, err := wire.DecodeRun(typ, data)
		if err != nil {
			require.ErrorIs(t, err, domain.ErrCorrupt)
			return
		}
		typ2, again := wire.EncodeRun(e)
		require.Equal(t, typ, typ2)
		back, err := wire.DecodeRun(typ, again)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(e, back, unwritten))
	})
}

// unwritten is what an event never has as it was written, and what is therefore not written again: the size of a
// hole that is no blob.
var unwritten = cmpopts.IgnoreFields(domain.Hole{}, "Bytes")
