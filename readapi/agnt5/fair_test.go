package agnt5_test

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/readapi"
	"quipu/readapi/agnt5"
)

// gated gives nothing before its gate is open. The first read after that calls first.
type gated struct {
	readapi.Reader
	open  *atomic.Bool
	first func()
}

func (g *gated) Poll(ctx context.Context) ([]readapi.Event, error) {
	if !g.open.Load() {
		return nil, nil
	}
	if first := g.first; first != nil {
		g.first = nil
		first()
	}
	return g.Reader.Poll(ctx)
}

// An execution of thousands of events does not keep the others of its socket waiting. The short one has
// something to send from the moment in which the long one's first event is read, whatever the machine
// does meanwhile.
func TestS1_28_FairAmongExecutions(t *testing.T) {
	w := newWorld(t)
	var open atomic.Bool
	notifyLong, notifyShort := make(chan func(), 1), make(chan func(), 1)
	w.wrap = func(s domain.StreamID, r readapi.Reader, notify func()) readapi.Reader {
		if s == "run-r1" {
			notifyLong <- notify
			return &gated{Reader: r, open: &open, first: func() { (<-notifyShort)() }}
		}
		notifyShort <- notify
		return &gated{Reader: r, open: &open}
	}
	start := func(name string) string {
		id, err := w.Start(t.Context(), agnt5.StartRequest{Endpoint: w.endpoint.Created, Name: name, Parameters: []byte(`{}`), ConnectionID: "ws_1"})
		require.NoError(t, err)
		return id
	}
	long := start("long")
	for range 5000 {
		w.event(long, run.TaskSkipped{Task: "t", Reason: run.SkippedByGate})
	}
	short := start("short")
	w.rest(short)
	c := w.dial("")
	for _, id := range []string{long, short} {
		c.send(`{"type":"resume","execution_id":"` + id + `"}`)
		require.Equal(t, "resume_accepted", c.next().Type)
	}
	notify := <-notifyLong
	open.Store(true)
	notify()
	frames := 0
	for {
		f := c.next()
		frames++
		if f.Data.ExecutionID == "exec_"+short && f.Type == "execution_completed" {
			break
		}
	}
	require.Less(t, frames, 500)
	var rest bytes.Buffer
	for frames < 5000+2+6 {
		frames++
		rest.WriteString(c.next().Type)
	}
	require.NotEmpty(t, rest.String())
	c.ping()
}
