package commands_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/node"
	"quipu/commands/nodetypes"
	"quipu/domain"
	"quipu/domain/channel"
	"quipu/domain/run"
	"quipu/infra/clock"
)

// listens waits for a message of a channel and calls record with what came.
func listens(name string) string {
	return graph([]string{
		nodeOf("hear", "event", `{"operation":"subscribe","channel":"`+name+`"}`),
		nodeOf("use", "record", `{"name":"use","said":"{{ nodes.hear.message }}"}`),
	}, "in>hear", "hear>use")
}

// recording is the node type of listens; what its attempts are given goes to seen.
func recording() (node.Type, <-chan string) {
	seen := make(chan string, 100)
	return effectFunc("record", func(_ context.Context, c node.Call) (node.Reply, error) {
		seen <- string(c.Params)
		return node.Reply{Output: json.RawMessage(`{}`)}, nil
	}), seen
}

func (d *desk) publish(t *testing.T, name, payload string) commands.Published {
	t.Helper()
	out, err := d.channels.Publish(t.Context(), commands.PublishRequest{Channel: name, Payload: []byte(payload), By: somebody})
	require.NoError(t, err)
	return out
}

// messages is how many a channel has.
func (w *world) messages(t *testing.T, name string) int {
	t.Helper()
	page, err := w.log.ReadStream(t.Context(), channel.Stream(name), 0, 2000)
	if err != nil {
		require.ErrorIs(t, err, domain.ErrNotFound)
	}
	return len(page)
}

// C.3: a wait gets the first message recorded after it began, on every run that waits, once; what was
// said before is not for it.
func TestC3_ChannelsReachAllWhoWait(t *testing.T) {
	record, _ := recording()
	d := openDesk(t, newWorld(), commands.Limits{}, record)
	d.publish(t, "orders/paid", `{"order":1}`)
	listening := listens("orders/paid")
	var ids []string
	for range 5 {
		ids = append(ids, d.run(t, listening, `{}`))
	}
	other := d.run(t, listens("orders/lost"), `{}`)
	for _, id := range append(ids, other) {
		d.until(t, id, "event_awaited", 1)
	}
	eventually(t, d.executor, commands.Counts{Sleeping: 6})
	out := d.publish(t, "orders/paid", `{"order":2}`)
	require.Equal(t, "1", out.MessageID)
	d.publish(t, "orders/paid", `{"order":3}`)
	for _, id := range ids {
		s := d.over(t, id, run.PhaseCompleted)
		require.JSONEq(t, `{"operation":"subscribe","channel":"orders/paid","message_id":"1","message":{"order":2}}`, d.output(t, s, "hear"))
		require.Equal(t, run.EventReceived{Task: "hear", TaskID: run.TaskID(id, "hear", 0), Channel: "orders/paid", MessageID: "1"},
			first[run.EventReceived](t, d.world.events(t, id)))
	}
	eventually(t, d.executor, commands.Counts{Sleeping: 1})
	for _, wrong := range []string{"", "a\x00", strings.Repeat("x", run.ChannelBytesMax+1), "\xff"} {
		_, err := d.channels.Publish(t.Context(), commands.PublishRequest{Channel: wrong, Payload: []byte(`1`), By: somebody})
		require.ErrorIs(t, err, domain.ErrUnprocessable, wrong)
		_, err = d.executor.Signal(t.Context(), ask(other), wrong, []byte(`1`))
		require.ErrorIs(t, err, domain.ErrUnprocessable, wrong)
	}
}

// A node publishes what it is told to, or what came before it; a run that waits gets it.
func TestC3_NodesPublish(t *testing.T) {
	record, seen := recording()
	d := openDesk(t, newWorld(), commands.Limits{}, record)
	hears := d.run(t, listens("c"), `{}`)
	d.until(t, hears, "event_awaited", 1)
	says := d.run(t, graph([]string{
		nodeOf("say", "event", `{"operation":"publish","channel":"c","payload":{"of":"{{ input.n }}"}}`), nodeOf("pass", "event", `{"channel":"d"}`),
	}, "in>say", "say>pass"), `{"n":7}`)
	s := d.over(t, says, run.PhaseCompleted)
	require.JSONEq(t, `{"operation":"publish","channel":"c","message_id":"0"}`, d.output(t, s, "say"))
	d.over(t, hears, run.PhaseCompleted)
	require.JSONEq(t, `{"config":{"name":"use","said":{"of":7}}}`, <-seen)
	page, err := d.world.log.ReadStream(t.Context(), channel.Stream("d"), 0, 10)
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.Contains(t, string(page[0].Data), `"message_id":"0"`)
}

// A message that comes while no process runs, or just before one ends, is neither lost nor doubled.
func TestC3_MessagesOutliveProcesses(t *testing.T) {
	w := newWorld()
	record, seen := recording()
	d := openDesk(t, w, commands.Limits{}, record)
	var ids []string
	for range 3 {
		ids = append(ids, d.run(t, listens("c"), `{}`))
	}
	for _, id := range ids {
		d.until(t, id, "event_awaited", 1)
	}
	d.stop()
	there := &desk{library: d.library, channels: w.openChannels()}
	there.publish(t, "c", `"while nobody ran"`)
	there.publish(t, "c", `"and again"`)
	for range 2 {
		d = openDesk(t, w, commands.Limits{}, record)
		for _, id := range ids {
			d.over(t, id, run.PhaseCompleted)
			require.Equal(t, 1, d.count(t, id, "event_received"))
		}
		d.stop()
	}
	require.Len(t, seen, 3)
	for range 3 {
		require.JSONEq(t, `{"config":{"name":"use","said":"while nobody ran"}}`, <-seen)
	}
}

// lateCrash publishes and then loses the process before anybody hears that it did.
type lateCrash struct {
	nodetypes.Publisher
	published chan struct{}
}

func (p lateCrash) PublishMessage(ctx context.Context, name string, payload json.RawMessage, key string) (string, error) {
	if _, err := p.Publisher.PublishMessage(ctx, name, payload, key); err != nil {
		return "", err
	}
	p.published <- struct{}{}
	<-ctx.Done()
	return "", ctx.Err()
}

// A publication that is made again after a crash is one message.
func TestC3_PublishedOnceThoughTheProcessEnds(t *testing.T) {
	w := newWorld()
	crash := lateCrash{Publisher: w.openChannels(), published: make(chan struct{}, 1)}
	e, stop := w.start(t, commands.Limits{}, nodetypes.All(nodetypes.Deps{HTTP: nobody{}, Channels: crash})...)
	l := openDesk(t, newWorld(), commands.Limits{})
	def := definitionOf(t, l, graph([]string{nodeOf("say", "event", `{"channel":"c","payload":1}`)}, "in>say"))
	out, err := e.StartRun(t.Context(), request("r", def))
	require.NoError(t, err)
	<-crash.published
	stop()
	d := openDesk(t, w, commands.Limits{})
	d.publish(t, "c", `2`)
	s := d.over(t, out.RunID, run.PhaseCompleted)
	require.Equal(t, 2, int(d.task(t, s, "say").Attempt))
	require.JSONEq(t, `{"operation":"publish","channel":"c","message_id":"0"}`, d.output(t, s, "say"))
	require.Equal(t, 2, w.messages(t, "c"), "one of the node, one of ours")
}

// D20: equal requests are one message; a key that stood for another one is refused.
func TestD20_PublishOnce(t *testing.T) {
	w := newWorld()
	here, there := w.openChannels(), w.openChannels()
	q := commands.PublishRequest{Channel: "c", Payload: []byte(`{"token":"sk-in-a-message-77"}`), Key: strings.Repeat("a", 64), Body: strings.Repeat("1", 64), By: somebody}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			of := here
			if i%2 == 0 {
				of = there
			}
			out, err := of.Publish(t.Context(), q)
			require.NoError(t, err)
			require.Equal(t, "0", out.MessageID)
			require.NotZero(t, out.Position)
		})
	}
	wg.Wait()
	require.Equal(t, 1, w.messages(t, "c"))
	q.Body = strings.Repeat("2", 64)
	_, err := here.Publish(t.Context(), q)
	require.Equal(t, "IDEMPOTENCY_KEY_REUSED", codeOf(err))
	var many sync.WaitGroup
	for i := range 20 { // without a key each is its own
		many.Go(func() {
			of := here
			if i%2 == 0 {
				of = there
			}
			_, err := of.Publish(t.Context(), commands.PublishRequest{Channel: "c", Payload: []byte(`1`), By: somebody})
			require.NoError(t, err)
		})
	}
	many.Wait()
	require.Equal(t, 21, w.messages(t, "c"))
	w.nowhere(t, "sk-in-a-message-77")
}

// C.4: a signal ends the wait that is there, or one that begins later, in the order they came; there
// are so many and no more.
func TestC4_SignalsBeforeAndAfterTheWait(t *testing.T) {
	record, seen := recording()
	d := openDesk(t, newWorld(), commands.Limits{SleepingRunsMax: -1}, record)
	g := graph([]string{
		asked, nodeOf("hear", "event", `{"operation":"subscribe","channel":"go"}`), nodeOf("again", "event", `{"operation":"subscribe","channel":"go"}`),
		nodeOf("use", "record", `{"name":"use","said":["{{ nodes.hear.message }}","{{ nodes.again.message }}"]}`),
	}, "in>ask", "ask>hear", "hear>again", "again>use")
	id := d.run(t, g, `{"sum":1}`)
	d.until(t, id, "approval_requested", 1)
	_, err := d.executor.Signal(t.Context(), ask(id), "go", []byte(`{"n":1}`))
	require.NoError(t, err)
	_, err = d.executor.Signal(t.Context(), ask(id), "elsewhere", []byte(`{"n":0}`))
	require.NoError(t, err)
	decideIt(t, d, id, "", run.Approved)
	d.until(t, id, "event_awaited", 2)
	out, err := d.executor.Signal(t.Context(), ask(id), "go", []byte(`{"n":2}`))
	require.NoError(t, err)
	require.NotZero(t, out.Position)
	s := d.over(t, id, run.PhaseCompleted)
	require.JSONEq(t, `{"config":{"name":"use","said":[{"n":1},{"n":2}]}}`, <-seen)
	require.Contains(t, d.output(t, s, "hear"), `"message":{"n":1}`)

	id = d.run(t, g, `{"sum":1}`)
	d.until(t, id, "approval_requested", 1)
	for i := range run.SignalsMax {
		_, err := d.executor.Signal(t.Context(), ask(id), "go", fmt.Appendf(nil, "%d", i))
		require.NoError(t, err)
	}
	_, err = d.executor.Signal(t.Context(), ask(id), "go", []byte(`1`))
	require.ErrorIs(t, err, domain.ErrRefused)
	require.Equal(t, "TOO_MANY_SIGNALS", codeOf(err))
	decideIt(t, d, id, "", run.Approved)
	d.over(t, id, run.PhaseCompleted)
	require.JSONEq(t, `{"config":{"name":"use","said":[0,1]}}`, <-seen)
}

// Secrets that come with signals and messages are sealed from the first byte on, and reach the node
// that is meant for them; many at once on a run that sleeps keep their own.
func TestC4_SecretsInSignals(t *testing.T) {
	w := newWorld()
	record, seen := recording()
	d := openDesk(t, w, commands.Limits{}, record)
	g := graph([]string{
		nodeOf("hear", "event", `{"operation":"subscribe","channel":"go"}`), nodeOf("use", "record", `{"name":"use","header":"{{ nodes.hear.message.api_key }}"}`),
		nodeOf("wait", "event", `{"operation":"subscribe","channel":"done"}`),
	}, "in>hear", "hear>use", "use>wait")
	for _, by := range []string{"signal", "message"} {
		id := d.run(t, g, `{}`)
		d.until(t, id, "event_awaited", 1)
		eventually(t, d.executor, commands.Counts{Sleeping: 1})
		secret := "sk-told-by-a-" + by + "-01"
		if by == "signal" {
			_, err := d.executor.Signal(t.Context(), ask(id), "go", []byte(`{"api_key":"`+secret+`","n":1e2}`))
			require.NoError(t, err)
		} else {
			d.publish(t, "go", `{"api_key":"`+secret+`","n":1e2}`)
		}
		require.JSONEq(t, `{"config":{"name":"use","header":"`+secret+`"}}`, <-seen, "the real value")
		d.until(t, id, "event_awaited", 2)
		_, err := d.executor.Signal(t.Context(), ask(id), "done", []byte(`"`+secret+` was used"`))
		require.NoError(t, err)
		s := d.over(t, id, run.PhaseCompleted)
		require.Regexp(t, `"message":\{"api_key":"\*\*\*[0-9a-f]{8}","n":1e2\}`, d.output(t, s, "hear"))
		require.Regexp(t, `"message":"\*\*\*[0-9a-f]{8}( was used)?"`, d.output(t, s, "wait"), "known by then")
		w.nowhere(t, secret)
	}
}

func TestC4_ManySecretSignalsOnASleepingRun(t *testing.T) {
	w := newWorld()
	d := openDesk(t, w, commands.Limits{})
	const signals = 40
	id := d.run(t, graph([]string{asked}, "in>ask"), `{"sum":1,"password":"hunter2-hunter2"}`)
	eventually(t, d.executor, commands.Counts{Sleeping: 1})
	var wg sync.WaitGroup
	for i := range signals {
		wg.Go(func() {
			for {
				_, err := d.executor.Signal(t.Context(), ask(id), fmt.Sprint("s", i), fmt.Appendf(nil, `{"api_key":"sk-of-signal-number-%d"}`, i))
				if err == nil {
					return
				}
				require.ErrorIs(t, err, domain.ErrConflict, "another one got ahead; it is sent again")
			}
		})
	}
	wg.Wait()
	var got []string
	for _, e := range w.events(t, id) {
		if s, ok := e.(run.SignalReceived); ok {
			require.Equal(t, fmt.Sprintf(`{"api_key":"sk-of-signal-number-%s"}`, s.Name[1:]), w.open(t, id, s.Payload))
			got = append(got, s.Name)
		}
	}
	slices.Sort(got)
	require.Len(t, slices.Compact(got), signals)
	w.nowhere(t, "sk-of-signal")
	decideIt(t, d, id, "", run.Approved)
	s := d.over(t, id, run.PhaseCompleted)
	require.Contains(t, w.open(t, id, d.task(t, s, "in").Output), "hunter2-hunter2")
}

// Whatever a log answers: a message that was acknowledged is there once.
func TestC3_PublishOverAFaultyLog(t *testing.T) {
	w := newWorld()
	c := commands.NewChannels(commands.ChannelDeps{
		Log: faultyLog(w), Blobs: w.blobs, Secrets: commands.Secrets{Vault: w.vault, Blobs: w.blobs}, Clock: w.clock, IDs: clock.System{},
	})
	var mu sync.Mutex
	var said []string
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			out, err := c.Publish(t.Context(), commands.PublishRequest{Channel: "c", Payload: fmt.Appendf(nil, "%d", i), By: somebody})
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				said = append(said, out.MessageID)
			}
		})
	}
	wg.Wait()
	require.Greater(t, len(said), 10)
	slices.Sort(said)
	require.Len(t, slices.Compact(slices.Clone(said)), len(said), "each has a place of its own")
	require.GreaterOrEqual(t, w.messages(t, "c"), len(said))
	require.LessOrEqual(t, w.messages(t, "c"), 40)
}
