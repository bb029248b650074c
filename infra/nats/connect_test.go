package nats_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/domain"
	"quipu/infra/nats"
	"quipu/infra/nats/natstest"
)

func TestMain(m *testing.M) {
	// What Watermill's suite leaves behind where it subscribes many times at once.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe.func2"),
		goleak.IgnoreAnyFunction("github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe.func3"))
}

const patience = time.Minute

func eventually(t *testing.T, cond func() bool, what string) {
	t.Helper()
	require.Eventually(t, cond, patience, 5*time.Millisecond, what)
}

// quick are options with short waits.
func quick(url string) nats.Options {
	return nats.Options{URLs: url, Name: "test", ReconnectMin: time.Millisecond, ReconnectMax: 20 * time.Millisecond}
}

// word keeps the last thing that was said.
type word struct {
	mu  sync.Mutex
	err error
	set bool
}

func (w *word) say(err error) { w.mu.Lock(); w.err, w.set = err, true; w.mu.Unlock() }
func (w *word) last() (error, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err, w.set
}

func TestConnect_AServerThatComesLateOrGoesForAWhile(t *testing.T) {
	s := natstest.Start(t)
	s.Stop()
	var w word
	o := quick(s.URL())
	o.Changed = w.say
	conn, err := nats.Connect(o)
	require.NoError(t, err, "a server that is away is no error")
	defer conn.Close()
	require.ErrorIs(t, nats.Health(conn), domain.ErrUnavailable)
	said, _ := w.last()
	require.ErrorIs(t, said, domain.ErrUnavailable)
	require.Error(t, conn.Publish("x", nil), "nothing waits in a buffer")

	s.Restart()
	eventually(t, func() bool { said, ok := w.last(); return ok && said == nil && nats.Health(conn) == nil }, "connects")
	sub, err := conn.SubscribeSync("x")
	require.NoError(t, err)
	s.Stop()
	eventually(t, func() bool { said, _ := w.last(); return said != nil }, "the loss is told")
	s.Restart()
	eventually(t, func() bool { return conn.Publish("x", []byte("again")) == nil && conn.Flush() == nil }, "connects again")
	got, err := sub.NextMsg(patience)
	require.NoError(t, err, "subscriptions come back")
	require.Equal(t, "again", string(got.Data))
}

func TestConnect_RefusedCredentialsAreTriedAgain(t *testing.T) {
	s := natstest.Start(t, func(o *server.Options) { o.Username, o.Password = "quipu", "right-password" })
	o := quick("nats://quipu:wrong-password@" + s.URL()[len("nats://"):])
	var w word
	o.Changed = w.say
	conn, err := nats.Connect(o)
	require.NoError(t, err)
	defer conn.Close()
	eventually(t, func() bool { said, _ := w.last(); return said != nil && !conn.IsClosed() && conn.LastError() != nil }, "refused")
	said, _ := w.last()
	require.NotContains(t, said.Error(), "wrong-password")
	// The client itself would end at the second equal refusal.
	s.Restart(func(o *server.Options) { o.Password = "wrong-password" })
	eventually(t, conn.IsConnected, "what is made good on the server is found")
}

func TestConnect_BadOptionsAreNamed(t *testing.T) {
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk.pem")
	require.NoError(t, os.WriteFile(junk, []byte("junk"), 0o600))
	for want, o := range map[string]nats.Options{
		"URLs: entry 1 has no scheme":           {},
		"entry 2 has no scheme":                 {URLs: "nats://a,http://user:pa55word@b"},
		"entry 1 names no host":                 {URLs: "nats://:4222"},
		"entry 1 has a path":                    {URLs: "nats://a/b"},
		"entry 1 is not a URL":                  {URLs: "nats://user:pa55word@a:b:c"},
		"CredentialsFile: open":                 {URLs: "nats://a", CredentialsFile: filepath.Join(dir, "none")},
		"CertFile and KeyFile: both":            {URLs: "nats://a", CertFile: junk},
		"failed to parse root certificate":      {URLs: "nats://a", CAFile: junk},
		"error loading client certificate":      {URLs: "nats://a", CertFile: junk, KeyFile: junk},
		"ReconnectMin 1s and ReconnectMax 1ms":  {URLs: "nats://a", ReconnectMin: time.Second, ReconnectMax: time.Millisecond},
		"PingInterval -1s: must be positive":    {URLs: "nats://a", PingInterval: -time.Second},
		"ConnectTimeout -1ns: must be positive": {URLs: "nats://a", ConnectTimeout: -1},
	} {
		_, err := nats.Connect(o)
		require.ErrorIs(t, err, domain.ErrInvalid, want)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "pa55word")
	}
}
