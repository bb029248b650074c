package cloudevent_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/wire"
	"quipu/eventbus/cloudevent"
)

const log domain.LogID = "644bdb7e-a5f6-4f73-9fd3-067000e8c6c3"

func recorded(stream domain.StreamID, typ string, data []byte, cause wire.Cause) *domain.Recorded {
	at := time.Date(2026, 11, 22, 9, 8, 7, 6_000_000, time.UTC)
	p, _ := wire.Seal(stream, wire.NewHead(), at, cause, typ, data)
	return &domain.Recorded{Stream: stream, Revision: 0, Position: 0xabc, ID: p.ID, Type: p.Type, Metadata: p.Metadata, Data: p.Data}
}

func read(t *testing.T, b []byte) event.Event {
	t.Helper()
	var e event.Event
	require.NoError(t, json.Unmarshal(b, &e), "%s", b)
	require.NoError(t, e.Validate())
	return e
}

// Every stored form there is, read back with the SDK of the format's makers.
func TestAppend_ReadByTheSDK(t *testing.T) {
	files, err := filepath.Glob("../../domain/wire/testdata/*.v*.golden.json")
	require.NoError(t, err)
	require.Greater(t, len(files), 30)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		// A number that no float64 holds is kept as the user wrote it (TestAppend_OddOnes); the SDK's reader
		// cannot pass over one.
		data = bytes.ReplaceAll(bytes.TrimSpace(data), []byte("1e400"), []byte("1e40"))
		typ := strings.Join(strings.Split(filepath.Base(file), ".")[:3], ".")
		r := recorded("run-4711", typ, data, wire.Cause{
			Actor: wire.Actor{Kind: wire.ActorKey, ID: "ci"}, CommandID: "c-1", CorrelationID: "corr-1",
			Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		})
		b, err := cloudevent.Append([]byte("before "), log, r, nil)
		require.NoError(t, err)
		b, ok := bytes.CutPrefix(b, []byte("before "))
		require.True(t, ok)
		require.Less(t, len(b), len(data)+cloudevent.OverheadBytesMax)
		e := read(t, b)
		require.Equal(t, "1.0", e.SpecVersion())
		require.Equal(t, r.ID.String(), e.ID())
		require.Equal(t, string(log), e.Source())
		require.Equal(t, "quipu."+typ, e.Type())
		require.Equal(t, "run-4711", e.Subject())
		require.Equal(t, "2026-11-22T09:08:07.006Z", e.Time().Format(domain.TimeLayout))
		require.Equal(t, "application/json", e.DataContentType())
		require.Equal(t, string(data), string(e.Data()), "as it stands in the log")
		require.Equal(t, map[string]any{
			"position": "0000000000000abc", "revision": "0", "partitionkey": "4711", "correlation": "corr-1",
			"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		}, e.Extensions())
	}
}

func TestAppend_OddOnes(t *testing.T) {
	cause := wire.Cause{CommandID: "c"}
	r := recorded(`workflow-"é\`, "workflow.created.v1", []byte(`{"a":"\ud800","n":1e400}`), cause)
	b, err := cloudevent.Append(nil, log, r, nil)
	require.NoError(t, err)
	require.Contains(t, string(b), `{"a":"\ud800","n":1e400}`, "a client's JSON is kept as written")
	require.True(t, json.Valid(b))
	require.NotContains(t, string(b), "traceparent")
	require.Contains(t, string(b), `"subject":"workflow-\"é\\"`)

	b, err = cloudevent.Append(nil, log, r, []byte(`{"masked":true}`))
	require.NoError(t, err)
	require.JSONEq(t, `{"masked":true}`, string(read(t, b).Data()))

	b, err = cloudevent.Append(nil, log, recorded("x", "x.y.v1", []byte{0, 1, 0xff}, cause), nil)
	require.NoError(t, err)
	require.Equal(t, []byte{0, 1, 0xff}, read(t, b).Data(), "what is no JSON")

	r.Metadata = []byte("junk")
	_, err = cloudevent.Append(nil, log, r, nil)
	require.ErrorIs(t, err, domain.ErrCorrupt)
}

func TestPartitionKey(t *testing.T) {
	for stream, want := range map[domain.StreamID]string{"run-a": "a", "run-": "run-", "workflow-a": "workflow-a", "name-run-a": "name-run-a"} {
		require.Equal(t, want, cloudevent.PartitionKey(stream))
	}
}

func BenchmarkAppend(b *testing.B) {
	r := recorded("run-4711", "run.task_completed.v1", nil, wire.Cause{CommandID: "c"})
	r.Data = []byte(`{"output":[` + strings.TrimSuffix(strings.Repeat(`"four",`, 80), ",") + `]}`)
	buffer := make([]byte, 0, 4096)
	for b.Loop() {
		var err error
		if buffer, err = cloudevent.Append(buffer[:0], log, r, nil); err != nil {
			b.Fatal(err)
		}
	}
}
