package orchestrator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/wire"
	"quipu/readapi/orchestrator"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// masks is a Payloads as small as can be: secrets as masks, large blobs as links.
type masks struct{}

func (masks) Render(_ context.Context, _ string, v domain.Value, _ int) ([]byte, error) {
	return v.Fill(func(h domain.Hole) ([]byte, error) {
		if h.Blob != "" {
			return []byte(`{"href":"/blobs/` + h.Blob[:8] + `"}`), nil
		}
		return []byte(`"***` + h.FP + `"`), nil
	})
}

type failing struct{ kind domain.Kind }

func (f failing) Render(context.Context, string, domain.Value, int) ([]byte, error) {
	return nil, domain.E(f.kind, "load", "blob", "no")
}

var at = time.Date(2026, 1, 2, 3, 4, 7, 43_000_000, time.UTC)

const runID = "0190a0b0-0000-7000-8000-000000000001"

// recorded is one event as a log has it.
func recorded(stream domain.StreamID, revision domain.Revision, typ string, data []byte) *domain.Recorded {
	head := wire.Head{Revision: revision - 1, At: at}
	p, _ := wire.Seal(stream, head, at, wire.Cause{
		Actor: wire.Actor{Kind: wire.ActorKey, ID: "k1", Via: "api"}, CommandID: "c1", CorrelationID: runID,
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}, typ, data)
	return &domain.Recorded{Stream: stream, Revision: revision, Position: 4711, ID: p.ID, Type: typ, Metadata: p.Metadata, Data: data}
}

// streamOf is where events of a type stand.
func streamOf(typ string) (stream domain.StreamID, e orchestrator.Event) {
	switch aggregate, _, _ := strings.Cut(typ, "."); aggregate {
	case "run":
		return "run-" + runID, orchestrator.Event{ExecutionID: runID, WorkflowID: "w1", NodeType: "agent"}
	case "workflow":
		return "workflow-w1", orchestrator.Event{WorkflowID: "w1"}
	default:
		return domain.StreamID(aggregate + "-x"), orchestrator.Event{}
	}
}

// samples are the stored bytes of every event type, kept by package wire, by file name.
func samples(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../../domain/wire/testdata/*.golden.json")
	require.NoError(t, err)
	out := map[string][]byte{}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".golden.json")
		if !strings.Contains(name, ".v") {
			continue
		}
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		out[name] = bytes.TrimRight(b, "\n")
	}
	require.Greater(t, len(out), 20)
	return out
}

// storedType is a file's name without what tells it from others of its type.
func storedType(file string) string {
	i := strings.Index(file, ".v")
	j := i + 2
	for j < len(file) && file[j] >= '0' && file[j] <= '9' {
		j++
	}
	return file[:j]
}

// Clients parse these bytes: a change here is a change of the dialect. A new event type of package
// wire needs its arm in data.go, then -update.
func TestD19_FramesGolden(t *testing.T) {
	r := orchestrator.New(masks{}, orchestrator.Options{LogID: "log-1"})
	for name, data := range samples(t) {
		t.Run(name, func(t *testing.T) {
			typ := storedType(name)
			stream, e := streamOf(typ)
			revision := domain.Revision(5)
			if strings.HasSuffix(typ, "started.v1") && strings.HasPrefix(typ, "run.started") {
				revision = 0
			}
			e.Recorded = recorded(stream, revision, typ, data)
			got, err := r.AppendAudited(t.Context(), nil, e)
			require.NoError(t, err)
			require.True(t, json.Valid(got), string(got))
			require.NotContains(t, string(got), "AAEC/+==", "a ciphertext is shown")
			path := filepath.Join("testdata", name+".golden.json")
			if *update {
				require.NoError(t, os.WriteFile(path, append(got, '\n'), 0o644))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got)+"\n")
		})
	}
}

// The shape that clients rely on, on every event of a run.
func TestD19_FieldsOfARunsEvents(t *testing.T) {
	r := orchestrator.New(masks{}, orchestrator.Options{LogID: "log-1"})
	for name, data := range samples(t) {
		typ := storedType(name)
		stream, e := streamOf(typ)
		e.Recorded = recorded(stream, 1, typ, data)
		b, err := r.Append(t.Context(), nil, e)
		require.NoError(t, err)
		var frame map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(b, &frame))
		keys := make([]string, 0, len(frame))
		for k := range frame {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		require.Equal(t, []string{"data", "event_type", "id", "offset", "position", "timestamp"}, keys)
		require.Equal(t, "1767323047.043", string(frame["timestamp"]))
		var of map[string]any
		require.NoError(t, json.Unmarshal(lenient(frame["data"]), &of))
		require.Equal(t, "2026-01-02T03:04:07.043Z", of["timestamp"])
		want := []string{"workflow_id", "execution_id"}
		if strings.HasPrefix(typ, "run.") {
			want = append(want, "node_id", "node_type", "result", "error")
		}
		for _, k := range want {
			require.Contains(t, of, k, name)
		}
	}
}

// lenient makes users' JSON readable for encoding/json, which refuses numbers such as 1e400.
func lenient(b []byte) []byte { return bytes.ReplaceAll(b, []byte("1e400"), []byte("1")) }

// D1: the names of the table, canonical ones for the rest.
func TestD1_Names(t *testing.T) {
	for stored, want := range map[string]string{
		wire.RunStarted: "workflow.started", wire.RunCancelled: "workflow.cancelled", wire.RunTaskFailed: "node.failed",
		wire.RunLLMCompleted: "llm.completed", wire.RunToolStarted: "tool.started", wire.RunTaskRetryScheduled: "task_retry_scheduled",
		wire.RunTaskSkipped: "task_skipped", wire.RunApprovalRequested: "approval_requested", wire.RunApprovalDecided: "approval_decided",
		wire.RunEventAwaited: "event_awaited", wire.RunEventReceived: "event_received", wire.RunSignalReceived: "signal_received",
		wire.RunPaused: "paused", wire.RunResumed: "resumed", wire.RunTaskReused: "task_reused", wire.NameBound: "name.bound", wire.ChannelMessage: "channel.message", wire.WorkflowUpdated: "workflow.updated", "run.paused.v7": "paused",
	} {
		require.Equal(t, want, orchestrator.Name(stored))
		if stored != "run.paused.v7" { // no build knows it
			require.Contains(t, orchestrator.StoredTypes(want), stored)
		}
	}
	require.Equal(t, []string{wire.RunTaskCompleted}, orchestrator.StoredTypes("task_completed"))
	require.Equal(t, []string{"run.paused.v7"}, orchestrator.StoredTypes("run.paused.v7"))
	// The names that other systems have for approvals mean none here: two of them are one type.
	for _, none := range []string{"", "node", "approval.requested", "approval.granted", "approval.denied", "node.", "run.started", "run.started.v", "x.v1", "'; drop table events"} {
		require.Empty(t, orchestrator.StoredTypes(none), none)
	}
	names := orchestrator.Names()
	require.True(t, slices.IsSorted(names))
	for _, n := range names {
		require.NotEmpty(t, orchestrator.StoredTypes(n), n)
	}
}

// A damaged or newer event must not hide the rest of a history, nor a blob that is gone.
func TestAppend_WhatCannotBeRead(t *testing.T) {
	r := orchestrator.New(masks{}, orchestrator.Options{LogID: "log-1"})
	show := func(e *domain.Recorded) map[string]any {
		b, err := r.AppendAudited(t.Context(), nil, orchestrator.Event{Recorded: e, ExecutionID: runID})
		require.NoError(t, err)
		var f map[string]any
		require.NoError(t, json.Unmarshal(b, &f), string(b))
		return f
	}
	require.Equal(t, "paused", show(recorded("run-"+runID, 1, "run.paused.v7", []byte(`{"a":1}`)))["event_type"])
	damaged := show(recorded("run-"+runID, 1, wire.RunCompleted, []byte(`{{`)))
	require.Equal(t, orchestrator.Unreadable, damaged["event_type"])
	require.Equal(t, wire.RunCompleted, damaged["data"].(map[string]any)["stored_type"])
	foreign := show(&domain.Recorded{Stream: "theirs", Type: "OrderPlaced", Metadata: []byte(`nonsense`), Data: []byte{0xff}})
	require.Equal(t, "OrderPlaced", foreign["event_type"])
	require.Nil(t, foreign["timestamp"])

	started := samples(t)[wire.RunTaskCompleted]
	e := orchestrator.Event{Recorded: recorded("run-"+runID, 1, wire.RunTaskCompleted, started), ExecutionID: runID}
	b, err := orchestrator.New(failing{domain.KindCorrupt}, orchestrator.Options{}).Append(t.Context(), nil, e)
	require.NoError(t, err)
	require.Contains(t, string(b), `"result":{"unreadable":true}`)
	_, err = orchestrator.New(failing{domain.KindUnavailable}, orchestrator.Options{}).Append(t.Context(), nil, e)
	require.ErrorIs(t, err, domain.ErrUnavailable)
}
