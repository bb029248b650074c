package intake_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	natsgo "github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/domain"
	"quipu/eventbus/intake"
	"quipu/infra/clock"
	"quipu/infra/nats"
	"quipu/infra/nats/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = time.Minute
	topic    = "commands"
	dead     = "commands-dead"
)

var errPassing = domain.E(domain.KindUnavailable, "", "", "away")

// book is what commands write to: the truth that outlives processes. A body is "key:number"; what it does
// is counted once for each, as the log does.
type book struct {
	mu    sync.Mutex
	done  map[string][]string // by key, in order of the first time
	known map[string]bool
	fail  func(body string, try int) error // may be nil
	tries map[string]int
}

func newBook() *book {
	return &book{done: map[string][]string{}, known: map[string]bool{}, tries: map[string]int{}}
}

func (b *book) parse(_ string, _ map[string]string, body []byte) (intake.Command, error) {
	text := string(body)
	key, _, ok := strings.Cut(text, ":")
	switch {
	case text == "panic":
		panic("secret of the message")
	case !ok:
		return intake.Command{}, domain.E(domain.KindInvalid, "", "", "has no colon").WithField("body").WithCode("NO_COLON")
	}
	return intake.Command{Name: "write", Key: key, Do: func(ctx context.Context) error { return b.write(key, text) }}, nil
}

func (b *book) write(key, text string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries[text]++
	if b.fail != nil {
		if err := b.fail(text, b.tries[text]); err != nil {
			return err
		}
	}
	if !b.known[text] {
		b.known[text] = true
		b.done[key] = append(b.done[key], text)
	}
	return nil
}

func (b *book) count() int { b.mu.Lock(); defer b.mu.Unlock(); return len(b.known) }

// site is a NATS server with a topic.
type site struct {
	t      *testing.T
	server *natstest.Server
	conn   *natsgo.Conn
	sent   int
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, server: natstest.Start(t)}
	s.conn = s.connect()
	return s
}

func (s *site) connect() *natsgo.Conn {
	s.t.Helper()
	conn, err := nats.Connect(nats.Options{URLs: s.server.URL(), ReconnectMin: 10 * time.Millisecond, ReconnectMax: 50 * time.Millisecond})
	require.NoError(s.t, err)
	s.t.Cleanup(conn.Close)
	require.Eventually(s.t, conn.IsConnected, patience, time.Millisecond)
	return conn
}

func (s *site) send(bodies ...string) {
	s.t.Helper()
	p, err := nats.NewPublisher(s.conn, nats.PublisherOptions{})
	require.NoError(s.t, err)
	for _, body := range bodies {
		s.sent++
		require.NoError(s.t, p.Publish(topic, message.NewMessage(fmt.Sprintf("m-%d", s.sent), []byte(body))))
	}
}

// start runs an intake as a process has it; kill ends it in the middle.
func (s *site) start(b *book, change func(*intake.Deps)) (stop, kill func()) {
	s.t.Helper()
	conn := s.connect()
	sub, err := nats.NewSubscriber(conn, nats.SubscriberOptions{
		Group: "quipu", InFlight: 16, AckWait: 500 * time.Millisecond, RetryMin: time.Millisecond, RetryMax: 10 * time.Millisecond, KeepOrder: true,
	})
	require.NoError(s.t, err)
	letters, err := nats.NewPublisher(conn, nats.PublisherOptions{})
	require.NoError(s.t, err)
	system := clock.System{}
	deps := intake.Deps{
		Subscribe:   func(ctx context.Context) (<-chan *message.Message, error) { return sub.Subscribe(ctx, topic) },
		DeadLetters: letters, DeadTopic: dead, Parse: b.parse, Clock: system, Random: system.Jitter,
		Passing: func(err error) bool { return errors.Is(err, domain.ErrUnavailable) },
	}
	if change != nil {
		change(&deps)
	}
	n := intake.New(deps, intake.Options{InFlightMax: 16, BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond, RetryFor: 10 * time.Second})
	work, cancelWork := context.WithCancel(context.Background())
	taking, cancel := context.WithCancel(work)
	ended := make(chan error, 1)
	go func() { ended <- n.Run(taking, work) }()
	var once sync.Once
	end := func(first func()) func() {
		return func() {
			once.Do(func() {
				first()
				require.NoError(s.t, <-ended)
				require.NoError(s.t, sub.Close())
				cancelWork()
			})
		}
	}
	s.t.Cleanup(end(cancelWork))
	return end(cancel), end(func() { conn.Close(); cancelWork() }) // without a word to the server
}

func (s *site) letters() []*natsgo.Msg {
	s.t.Helper()
	sub, err := s.conn.SubscribeSync("none")
	require.NoError(s.t, err)
	defer func() { _ = sub.Unsubscribe() }()
	js, err := s.conn.JetStream()
	require.NoError(s.t, err)
	info, err := js.StreamInfo(dead)
	if err != nil {
		return nil
	}
	var out []*natsgo.Msg
	for seq := uint64(1); seq <= info.State.LastSeq; seq++ {
		m, err := js.GetMsg(dead, seq)
		require.NoError(s.t, err)
		out = append(out, &natsgo.Msg{Header: m.Header, Data: m.Data})
	}
	return out
}

func (s *site) eventually(what string, ok func() bool) {
	s.t.Helper()
	require.Eventually(s.t, ok, patience, 5*time.Millisecond, what)
}

func requireOrder(t *testing.T, b *book, keys, each int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Len(t, b.done, keys)
	for key, list := range b.done {
		require.Len(t, list, each, key)
		for i, text := range list {
			require.Equal(t, fmt.Sprintf("%s:%d", key, i), text)
		}
	}
}

func bodies(keys, from, to int) []string {
	var out []string
	for n := from; n < to; n++ {
		for k := range keys {
			out = append(out, fmt.Sprintf("k%d:%d", k, n))
		}
	}
	return out
}

// Many keys at once, each in order, whatever fails for a while.
func TestIntake_OrderPerKeyWhateverFails(t *testing.T) {
	s, b := newSite(t), newBook()
	b.fail = func(text string, try int) error {
		if try <= len(text)%3 {
			return errPassing
		}
		return nil
	}
	s.send(bodies(8, 0, 12)...)
	var handled atomic.Int64
	s.start(b, func(d *intake.Deps) { d.Hooks.Handled = func(_, outcome string) { handled.Add(1) } })
	s.eventually("all", func() bool { return b.count() == 8*12 })
	requireOrder(t, b, 8, 12)
	s.send(bodies(8, 12, 13)...)
	s.eventually("what comes later", func() bool { return b.count() == 8*13 && handled.Load() == 8*13 })
	requireOrder(t, b, 8, 13)
	require.Empty(t, s.letters())
}

// A key that waits holds up no other.
func TestIntake_OneKeyHoldsUpNoOther(t *testing.T) {
	s, b := newSite(t), newBook()
	var open atomic.Bool
	b.fail = func(text string, _ int) error {
		if strings.HasPrefix(text, "stuck:") && !open.Load() {
			return errPassing
		}
		return nil
	}
	s.send("stuck:0", "stuck:1")
	s.send(bodies(3, 0, 20)...)
	s.start(b, nil)
	s.eventually("the others", func() bool { return b.count() == 60 })
	open.Store(true)
	s.eventually("the stuck ones", func() bool { return b.count() == 62 })
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Equal(t, []string{"stuck:0", "stuck:1"}, b.done["stuck"])
}

// What cannot be read, is refused, or makes the server panic is put aside with its reason and all it was;
// the rest goes on.
func TestIntake_DeadLetters(t *testing.T) {
	s, b := newSite(t), newBook()
	b.fail = func(text string, _ int) error {
		switch text {
		case "k:refused":
			return domain.E(domain.KindRefused, "cancel", "run-1", "has ended\nalready é").WithCode("RUN_ENDED").WithField("/execution_id")
		case "k:panics":
			panic("secret of the message")
		}
		return nil
	}
	s.send("nonsense", "panic", "k:refused", "k:panics", "k:fine")
	outcomes := make(chan string, 10)
	s.start(b, func(d *intake.Deps) { d.Hooks.Handled = func(_, outcome string) { outcomes <- outcome } })
	got := map[string]int{}
	for range 5 {
		got[<-outcomes]++
	}
	require.Equal(t, map[string]int{"done": 1, "dead_letter": 4}, got)
	letters := map[string]natsgo.Header{}
	for _, m := range s.letters() {
		letters[string(m.Data)] = m.Header
	}
	require.Len(t, letters, 4)
	require.Contains(t, letters["nonsense"].Get(intake.MetaReason), "has no colon")
	require.Equal(t, "NO_COLON", letters["nonsense"].Get(intake.MetaCode))
	require.Contains(t, letters["k:refused"].Get(intake.MetaReason), "has ended?already ?")
	require.Equal(t, "/execution_id", letters["k:refused"].Get(intake.MetaField))
	require.Equal(t, "m-3", letters["k:refused"].Get(natsgo.MsgIdHdr))
	for _, h := range letters {
		require.NotContains(t, fmt.Sprint(h), "secret of the message")
	}
	require.Equal(t, 3, b.tries["k:panics"], "a fault of this program is tried a few times")
}

// A message that keeps failing as if it might pass is put aside after a time, too.
func TestIntake_NothingIsTriedForEver(t *testing.T) {
	s, b := newSite(t), newBook()
	b.fail = func(string, int) error { return errPassing }
	s.send("k:0")
	var jumped atomic.Int64
	s.start(b, func(d *intake.Deps) { d.Clock = leaping{clock.System{}, &jumped} })
	s.eventually("put aside", func() bool { return len(s.letters()) == 1 })
	require.Greater(t, jumped.Load(), int64(2))
}

// leaping is a clock on which each look is a second after the one before.
type leaping struct {
	clock.System
	looks *atomic.Int64
}

func (l leaping) Now() time.Time {
	return time.Unix(0, 0).Add(time.Duration(l.looks.Add(1)) * time.Second)
}

// Processes die in the middle, again and again, and the server goes away: every message is carried out,
// those of a key in order.
func TestIntake_KilledAgainAndAgain(t *testing.T) {
	s, b := newSite(t), newBook()
	const keys, rounds, each = 5, 6, 8
	for round := range rounds {
		had := b.count()
		s.send(bodies(keys, round*each, (round+1)*each)...)
		_, kill := s.start(b, nil)
		s.eventually("some", func() bool { return b.count() > had+each })
		kill()
	}
	s.start(b, nil)
	s.server.Stop()
	s.server.Restart()
	s.eventually("all", func() bool { return b.count() == keys*rounds*each })
	requireOrder(t, b, keys, rounds*each)
}

// Two nodes take turns: one takes messages at a time, and none is lost or out of order at the change.
func TestIntake_OwnersTakeTurns(t *testing.T) {
	s, b := newSite(t), newBook()
	var mu sync.Mutex
	owner, changed := 0, make(chan struct{})
	for i := range 2 {
		s.start(b, func(d *intake.Deps) {
			d.Owns = func() (bool, <-chan struct{}) {
				mu.Lock()
				defer mu.Unlock()
				return owner == i, changed
			}
		})
	}
	const keys, turns, each = 4, 4, 10
	for turn := range turns {
		had := b.count()
		s.send(bodies(keys, turn*each, (turn+1)*each)...)
		mu.Lock()
		owner = turn % 2
		close(changed)
		changed = make(chan struct{})
		mu.Unlock()
		s.eventually("some", func() bool { return b.count() > had+each })
	}
	s.eventually("all", func() bool { return b.count() == keys*turns*each })
	requireOrder(t, b, keys, turns*each)
}
