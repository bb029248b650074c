package commands

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"quipu/domain"
	"quipu/domain/channel"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// Bounds of channels.
const (
	// MessageRepeatsMax is how many of a channel's newest messages are looked through for a repeat.
	MessageRepeatsMax = 1000
	// deliverEvery is how long a delivery that failed for the moment waits before the next try.
	deliverEvery = time.Second
)

// ChannelDeps are the collaborators of Channels; all are required but Logger.
type ChannelDeps struct {
	Log     Log
	Blobs   Blobs
	Secrets Secrets
	Clock   Clock
	IDs     IDs
	Logger  *slog.Logger
	// Shared says that other nodes publish to the log too: their messages are learnt from the feed.
	Shared bool
}

// Deliverer ends a task's wait; the Executor is one.
type Deliverer interface {
	Deliver(ctx context.Context, runID, task, channel, messageID string, payload []byte) (Outcome, error)
}

// Channels are named streams of messages that runs publish and wait for. Messages stay in the log, so a
// wait survives a restart: whoever waits gets the first message recorded after it began to, whenever
// that is noticed. Safe for concurrent use.
//
// Who waits is no truth of its own: the executor tells it anew whenever it takes a run up. Besides the
// runs that wait nothing is kept in memory.
type Channels struct {
	deps    ChannelDeps
	locks   nameLocks // of the streams
	notices chan struct{}

	mu      sync.Mutex
	waiting map[string]map[waiter]bool // by channel
	awaited map[string][]waits         // by run; nil unless Shared: only then is a run given away as a whole
	fresh   map[string]bool            // channels whose waiters are to be looked after
}

// waits is what one task of a run waits for.
type waits struct{ task, channel string }

type waiter struct{ runID, task string }

// NewChannels builds the service; Run delivers.
func NewChannels(deps ChannelDeps) *Channels {
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Channels{deps: deps, notices: make(chan struct{}, 1), waiting: map[string]map[waiter]bool{}, fresh: map[string]bool{}}
	if deps.Shared {
		c.awaited = map[string][]waits{}
	}
	return c
}

// Awaits notes who waits for a channel, or does so no more; no task stands for all of the run's. It never
// blocks: it is a hook of the executor.
func (c *Channels) Awaits(runID, task, name string, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case over && task == "":
		for _, w := range c.awaited[runID] {
			c.waitNoMore(runID, w)
		}
		delete(c.awaited, runID)
		return
	case over:
		c.waitNoMore(runID, waits{task, name})
		if left := slices.DeleteFunc(c.awaited[runID], func(w waits) bool { return w == waits{task, name} }); len(left) > 0 {
			c.awaited[runID] = left
		} else {
			delete(c.awaited, runID)
		}
		return
	case c.awaited != nil && !slices.Contains(c.awaited[runID], waits{task, name}):
		c.awaited[runID] = append(c.awaited[runID], waits{task, name})
	}
	of := c.waiting[name]
	if of == nil {
		of = map[waiter]bool{}
		c.waiting[name] = of
	}
	of[waiter{runID, task}] = true
	c.note(name)
}

// waitNoMore forgets one that waited. mu is held.
func (c *Channels) waitNoMore(runID string, w waits) {
	of := c.waiting[w.channel]
	delete(of, waiter{runID, w.task})
	if len(of) == 0 {
		delete(c.waiting, w.channel)
	}
}

// note asks Run to look after a channel. mu is held.
func (c *Channels) note(name string) {
	c.fresh[name] = true
	select {
	case c.notices <- struct{}{}:
	default:
	}
}

// Published is a message in its channel.
type Published struct {
	MessageID string
	Position  domain.Position
	Repeated  bool
}

// PublishRequest asks for a message. Payload is checked JSON, its secrets in clear. Key and Body are those
// of Ask.
type PublishRequest struct {
	Channel   string
	Payload   []byte
	Key, Body string
	By
}

// Publish records a message and returns once it is durable. A repeat under the same key is answered with
// the message that is there, if it is among the channel's newest MessageRepeatsMax.
//
// Errors: ErrUnprocessable naming what is wrong with channel or payload, or with code
// IDEMPOTENCY_KEY_REUSED; ErrUnavailable, ErrIndeterminate.
func (c *Channels) Publish(ctx context.Context, q PublishRequest) (Published, error) {
	if err := run.CheckChannel(q.Channel); err != nil {
		return Published{}, err
	}
	stream := channel.Stream(q.Channel)
	lock := c.locks.of(stream)
	lock.Lock()
	defer lock.Unlock()
	repeats := MessageRepeatsMax
	if q.Key == "" {
		q.Key, repeats = c.deps.IDs.NewID(), 1 // nobody repeats it but this loop
	}
	for try := 0; ; try++ {
		out, err := c.publish(ctx, stream, q, repeats+try)
		if err == nil {
			c.mu.Lock()
			if len(c.waiting[q.Channel]) > 0 {
				c.note(q.Channel)
			}
			c.mu.Unlock()
			return out, nil
		}
		if !errors.Is(err, domain.ErrConflict) && !errors.Is(err, domain.ErrIndeterminate) || try == writeAttemptsMax-1 || pause(ctx, c.deps.Clock, appendRetryFirst<<try) != nil {
			return Published{}, err
		}
	}
}

// publish is one try. The command's id tells a try that was stored after all.
func (c *Channels) publish(ctx context.Context, stream domain.StreamID, q PublishRequest, repeats int) (Published, error) {
	id, prefix := Ask{Key: q.Key, Body: q.Body}.commandID("publish", c.deps.IDs)
	head, found, err := c.head(ctx, stream, id, prefix, repeats)
	if err != nil || found != nil {
		if found != nil {
			return Published{MessageID: messageID(found.Revision), Position: found.Position, Repeated: true}, nil
		}
		return Published{}, err
	}
	// A session that knows nothing hands out ids from the first on: a message's secrets are its own, and
	// are opened by the message alone.
	session, err := c.deps.Secrets.Session(ctx, stream, nil)
	if err != nil {
		return Published{}, fmt.Errorf("publish to %s: %w", stream, err)
	}
	payload, secrets, err := session.Seal(ctx, q.Payload)
	if err != nil {
		return Published{}, err
	}
	if len(payload.JSON) > domain.PayloadInlineBytesMax {
		sum, err := c.deps.Blobs.Put(ctx, payload.JSON)
		if err != nil {
			return Published{}, domain.Wrap(domain.KindUnavailable, "store blob", string(stream), err)
		}
		payload = domain.Value{JSON: []byte("null"), Holes: append([]domain.Hole{{Blob: sum, Bytes: int64(len(payload.JSON))}}, payload.Holes...)}
	}
	typ, data := wire.EncodeChannelMessage(channel.Message{Channel: q.Channel, Payload: payload, Secrets: secrets})
	cause := wire.Cause{Actor: q.Actor, CommandID: id, CorrelationID: string(stream), Traceparent: q.Trace}
	p, _ := wire.Seal(stream, head, head.Instant(c.deps.Clock.Now()), cause, typ, data)
	if err := domain.CheckAppend(stream, head.Revision, []domain.Pending{p}); err != nil {
		return Published{}, domain.E(domain.KindUnprocessable, "publish", string(stream), "holds more secrets than fit into one event; pass fewer").WithField("payload").WithCode("PAYLOAD_TOO_LARGE")
	}
	appended, err := c.deps.Log.Append(ctx, stream, head.Revision, []domain.Pending{p})
	if err != nil {
		return Published{}, fmt.Errorf("publish to %s: %w", stream, err)
	}
	return Published{MessageID: messageID(head.Revision + 1), Position: appended.Position}, nil
}

func messageID(r domain.Revision) string { return strconv.FormatInt(int64(r), 10) }

// head reads where a channel ends, and the message of an earlier try or request with the same id.
func (c *Channels) head(ctx context.Context, stream domain.StreamID, id, prefix string, repeats int) (wire.Head, *domain.Recorded, error) {
	head := wire.NewHead()
	page, err := c.deps.Log.ReadStreamBackward(ctx, stream, endOfStream, repeats)
	if errors.Is(err, domain.ErrNotFound) || err == nil && len(page) == 0 {
		return head, nil, nil
	}
	if err != nil {
		return head, nil, fmt.Errorf("read %s: %w", stream, err)
	}
	for i := range page {
		m, err := wire.DecodeMetadata(page[i].Metadata)
		switch {
		case err != nil:
			return head, nil, err
		case m.CommandID == id:
			return head, &page[i], nil
		case strings.HasPrefix(m.CommandID, prefix):
			return head, nil, KeyReused("publish", string(stream))
		case i == 0:
			head = wire.Head{Revision: page[0].Revision, Hash: page[0].Hash(), At: m.At}
		}
	}
	return head, nil, nil
}

// Run delivers messages to those who wait, until ctx ends.
func (c *Channels) Run(ctx context.Context, to Deliverer) error {
	if c.deps.Shared {
		var follower sync.WaitGroup
		follower.Go(func() { c.follow(ctx) })
		defer follower.Wait()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.notices:
		}
		for name, waiters := range c.takeFresh() {
			for _, w := range waiters {
				if err := c.deliver(ctx, to, name, w); err != nil && ctx.Err() == nil {
					c.deps.Logger.Warn("a message waits to be delivered", "run_id", w.runID, "task", w.task, "after", deliverEvery, "error", err)
					c.later(name)
				}
			}
		}
	}
}

// takeFresh lists who is to be looked after.
func (c *Channels) takeFresh() map[string][]waiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string][]waiter, len(c.fresh))
	for name := range c.fresh {
		for w := range c.waiting[name] {
			out[name] = append(out[name], w)
		}
	}
	clear(c.fresh)
	return out
}

func (c *Channels) later(name string) {
	c.deps.Clock.AfterFunc(deliverEvery, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.note(name)
	})
}

// deliver gives a waiter the first message after it began to wait, if there is one. What ended meanwhile
// is forgotten.
func (c *Channels) deliver(ctx context.Context, to Deliverer, name string, w waiter) error {
	since, err := c.waitsSince(ctx, w)
	if err != nil || since == 0 {
		if err == nil || errors.Is(err, domain.ErrNotFound) {
			c.Awaits(w.runID, w.task, name, true)
			return nil
		}
		return err
	}
	message, err := c.firstAfter(ctx, channel.Stream(name), since)
	if err != nil || message == nil {
		return err
	}
	m, err := wire.DecodeChannelMessage(message.Type, message.Data)
	if err != nil {
		return err
	}
	session, err := c.deps.Secrets.Session(ctx, channel.Stream(name), m.Secrets)
	if err != nil {
		return err
	}
	payload, err := session.Open(ctx, m.Payload)
	if err != nil {
		return err
	}
	_, err = to.Deliver(ctx, w.runID, w.task, name, messageID(message.Revision), payload)
	return err
}

// waitsSince is the position at which a task began to wait, 0 if it waits no more.
func (c *Channels) waitsSince(ctx context.Context, w waiter) (domain.Position, error) {
	stream := RunStream(w.runID)
	for from := endOfStream; from >= 0; {
		page, err := c.deps.Log.ReadStreamBackward(ctx, stream, from, readPage)
		if err != nil {
			return 0, err
		}
		for i := range page {
			if wire.EndsRun(page[i].Type) {
				return 0, nil
			}
			switch page[i].Type {
			case wire.RunEventAwaited, wire.RunEventReceived, wire.RunTaskFailed:
			default:
				continue
			}
			e, err := wire.DecodeRun(page[i].Type, page[i].Data)
			if err != nil {
				return 0, err
			}
			switch e := e.(type) {
			case run.EventAwaited:
				if e.Task == w.task {
					return page[i].Position, nil
				}
			case run.EventReceived:
				if e.Task == w.task {
					return 0, nil
				}
			}
		}
		if len(page) == 0 {
			break
		}
		from = page[len(page)-1].Revision - 1
	}
	return 0, nil
}

// firstAfter finds a channel's first message after a position: usually among the newest.
func (c *Channels) firstAfter(ctx context.Context, stream domain.StreamID, since domain.Position) (*domain.Recorded, error) {
	var first *domain.Recorded
	for from := endOfStream; from >= 0; {
		page, err := c.deps.Log.ReadStreamBackward(ctx, stream, from, readPage)
		if errors.Is(err, domain.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for i := range page {
			if page[i].Position <= since {
				return first, nil
			}
			first = &page[i]
		}
		if len(page) == 0 {
			break
		}
		from = page[len(page)-1].Revision - 1
	}
	return first, nil
}

// PublishMessage is Publish for nodes, whose key is their own and whose repeats are equal.
func (c *Channels) PublishMessage(ctx context.Context, name string, payload json.RawMessage, key string) (string, error) {
	sum := sha256.Sum256([]byte("node\x00" + key))
	out, err := c.Publish(ctx, PublishRequest{
		Channel: name, Payload: payload, Key: hex.EncodeToString(sum[:]), By: By{Actor: wire.Actor{Kind: wire.ActorSystem, Via: "executor"}},
	})
	return out.MessageID, err
}
