package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/name"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/eventbus"
	"quipu/infra/clock"
	"quipu/infra/embedded"
	"quipu/readapi"
)

// kit is the read side in this process: the embedded log, the hub and live sockets over TCP, wired
// as the binary wires them. In one process appends and receipts share a monotonic clock.
type kit struct {
	addr    string
	log     *embedded.Log
	sockets *readapi.Sockets
	app     *fiber.App
	stop    context.CancelFunc
	hubEnd  chan error
}

func newKit(dir string, options embedded.Options) (*kit, error) {
	log, err := embedded.Open(dir, options)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		_ = log.Close() // err says why
		return nil, err
	}
	k := &kit{addr: listener.Addr().String(), log: log, hubEnd: make(chan error, 1)}
	hub := eventbus.New(log, func(ctx context.Context, after domain.Position, prefix string) (eventbus.Source, error) {
		sub, err := log.Subscribe(ctx, after, prefix)
		return source{sub}, err
	}, clock.System{}, eventbus.Options{})
	k.sockets = readapi.NewSockets(clock.System{}, readapi.SocketOptions{Random: clock.System{}.Jitter})
	live := readapi.NewLive(readapi.Deps{
		Sockets: k.sockets, Log: log, Clock: clock.System{}, Payloads: plain{},
		Readers: func(stream domain.StreamID, from domain.Revision, notify func()) readapi.Reader {
			return hub.Reader(stream, from, notify)
		},
	}, readapi.Options{Random: clock.System{}.Jitter})
	k.app = newApp()
	live.Register(k.app)
	ctx, stop := context.WithCancel(context.Background())
	k.stop = stop
	go func() { k.hubEnd <- hub.Run(ctx) }()
	go func() { _ = k.app.Listener(listener) }() // ends with close
	return k, nil
}

func newApp() *fiber.App {
	return fiber.New(fiber.Config{DisableStartupMessage: true, CaseSensitive: true})
}

func (k *kit) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = k.sockets.Shutdown(ctx) // its sockets are ours
	_ = k.app.ShutdownWithContext(ctx)
	k.stop()
	<-k.hubEnd
	return k.log.Close()
}

type source struct{ commands.Subscription }

func (s source) Next(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
	b, err := s.Subscription.Next(ctx)
	return b.Events, b.Position, b.CaughtUp, err
}

// plain shows values as they are; the benchmark's have no holes.
type plain struct{}

func (plain) Render(_ context.Context, _ string, v domain.Value, _ int) ([]byte, error) {
	return v.JSON, nil
}

// kitRun is a run whose events are appended directly. It belongs to one goroutine.
type kitRun struct {
	log    *embedded.Log
	id     string
	stream domain.StreamID
	head   wire.Head
	steps  int
	// position is that of the last append.
	position domain.Position
}

const kitFlow = "bench"

// newRun binds a name and starts a run of the same name.
func (k *kit) newRun(id string) (*kitRun, error) {
	typ, data := wire.EncodeNameBound(name.Bound{FlowName: kitFlow, RunName: id, ExecutionID: id})
	names := &kitRun{log: k.log, stream: name.Stream(kitFlow, id), head: wire.NewHead()}
	if err := names.append(sealed{typ, data}); err != nil {
		return nil, err
	}
	r := &kitRun{log: k.log, id: id, stream: commands.RunStream(id), head: wire.NewHead()}
	return r, r.events(run.Started{
		RunID: id, Source: "lao", FlowName: kitFlow, RunName: id,
		Definition: domain.Raw([]byte(`{}`)), Input: domain.Raw([]byte(`{}`)),
	})
}

func (r *kitRun) path(query string) string { return "/ws/" + kitFlow + "/" + r.id + query }

type sealed struct {
	typ  string
	data []byte
}

func (r *kitRun) append(events ...sealed) error {
	pending := make([]domain.Pending, len(events))
	before := r.head.Revision
	for i, e := range events {
		cause := wire.Cause{Actor: wire.Actor{Kind: wire.ActorSystem}, CommandID: "bench", CorrelationID: r.id}
		pending[i], r.head = wire.Seal(r.stream, r.head, r.head.Instant(time.Now().UTC()), cause, e.typ, e.data)
	}
	at, err := r.log.Append(context.Background(), r.stream, before, pending)
	r.position = at.Position
	return err
}

func (r *kitRun) events(list ...run.Event) error {
	events := make([]sealed, len(list))
	for i, e := range list {
		events[i].typ, events[i].data = wire.EncodeRun(e)
	}
	return r.append(events...)
}

// step appends the start and the end of a step, as one append, like an executor under way.
func (r *kitRun) step() error {
	r.steps++
	task := fmt.Sprintf("step%d", r.steps)
	taskID := r.id + "/" + task
	return r.events(
		run.TaskStarted{Task: task, TaskID: taskID, Node: "bench", Function: "bench_noop", Input: domain.Raw([]byte(`{"value":"0123456789"}`))},
		run.TaskCompleted{Task: task, TaskID: taskID, Attempt: 1, StartedAt: time.Now().UTC(), Output: domain.Raw([]byte(`{"value":"0123456789"}`))},
	)
}

// half appends one event.
func (r *kitRun) half() error {
	r.steps++
	task := fmt.Sprintf("step%d", r.steps)
	return r.events(run.TaskCompleted{Task: task, TaskID: r.id + "/" + task, Attempt: 1, StartedAt: time.Now().UTC(), Output: domain.Raw([]byte(`{"value":"0123456789"}`))})
}
