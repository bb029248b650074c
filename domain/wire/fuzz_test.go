package wire_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/channel"
	"quipu/domain/endpoint"
	"quipu/domain/name"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// Whatever bytes a damaged disk gives for an event that is none of a run's: an error or an event, which is
// written and read again as it was.
func FuzzDecodeOthers(f *testing.F) {
	for i, s := range workflowSamples() {
		_, data := wire.EncodeWorkflow(s.event)
		f.Add(uint8(i), data)
	}
	f.Add(uint8(0), []byte(`{"workflow_id":"0","graph":{"holes":[{"bytes":1}]}}`))
	add := func(_ string, data []byte) {
		for which := range uint8(8) {
			f.Add(which, data)
		}
	}
	add(wire.EncodeNameBound(name.Bound{FlowName: "f", RunName: "r", ExecutionID: "e"}))
	add(wire.EncodeEndpointCreated(endpoint.Created{}))
	add(wire.EncodeChannelMessage(channel.Message{Payload: domain.Text("x")}))
	add("", []byte(`{"at":"2026-01-02T03:04:05.678Z","actor":{"kind":"key","id":"a","via":"rest"},"command_id":"c","prev":"p","x":[{}]}`))
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		check(t, data, wire.DecodeMetadata, nil)
		check(t, data, wire.DecodeAt, nil)
		check(t, data, func(b []byte) (name.Bound, error) { return wire.DecodeNameBound(wire.NameBound, b) }, wire.EncodeNameBound)
		check(t, data, func(b []byte) (endpoint.Created, error) { return wire.DecodeEndpointCreated(wire.EndpointCreated, b) }, wire.EncodeEndpointCreated)
		check(t, data, func(b []byte) (channel.Message, error) { return wire.DecodeChannelMessage(wire.ChannelMessage, b) }, wire.EncodeChannelMessage)
		samples := workflowSamples()
		typ, _ := wire.EncodeWorkflow(samples[int(which)%len(samples)].event)
		e, err := wire.DecodeWorkflow(typ, data)
		if err != nil {
			require.ErrorIs(t, err, domain.ErrCorrupt)
			return
		}
		again, data2 := wire.EncodeWorkflow(e)
		require.Equal(t, typ, again)
		back, err := wire.DecodeWorkflow(typ, data2)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(e, back, unwritten, byFields))
	})
}

// content has no Equal, which would look at what is unwritten too.
type content workflow.Content

var byFields = cmp.Transformer("fields", func(c workflow.Content) content { return content(c) })

// check decodes data and, if it is accepted and encode is given, holds what is decoded of its encoding against it.
func check[T any](t *testing.T, data []byte, decode func([]byte) (T, error), encode func(T) (string, []byte)) {
	t.Helper()
	e, err := decode(data)
	if err != nil {
		require.ErrorIs(t, err, domain.ErrCorrupt)
		return
	}
	if encode == nil {
		return
	}
	_, again := encode(e)
	back, err := decode(again)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(e, back, unwritten))
}
