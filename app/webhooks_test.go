package app

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"quipu/commands/intakebus"
	"quipu/infra/config"
	"quipu/infra/nats"
	"quipu/infra/nats/natstest"
)

// atWork is the whole program, its parts at work, on a folder.
type atWork struct {
	t    *testing.T
	s    *server
	stop func()
}

func work(t *testing.T, c config.Config) *atWork {
	t.Helper()
	c.HTTP.Addr = "127.0.0.1:0"
	ctx, cancel := context.WithCancel(context.Background())
	s, err := open(ctx, c, testVersion, slog.New(slog.DiscardHandler))
	if err != nil {
		cancel()
	}
	require.NoError(t, err)
	require.NoError(t, s.firstEndpoint(ctx, io.Discard))
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	var once sync.Once
	w := &atWork{t: t, s: s, stop: func() {
		once.Do(func() {
			cancel()
			require.NoError(t, <-ended)
		})
	}}
	t.Cleanup(w.stop)
	w.eventually("serving", func() bool {
		status, _ := w.ask("GET", "/health/ready", "")
		return status == 200
	})
	return w
}

func (w *atWork) ask(method, path, body string) (int, string) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.s.web.Listener.Addr().String()+path, strings.NewReader(body))
	require.NoError(w.t, err)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { require.NoError(w.t, response.Body.Close()) }()
	b, err := io.ReadAll(response.Body)
	require.NoError(w.t, err)
	return response.StatusCode, string(b)
}

func (w *atWork) eventually(what string, ok func() bool) {
	w.t.Helper()
	require.Eventually(w.t, ok, 30*time.Second, 10*time.Millisecond, what)
}

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// A run's end is posted, signed, by a server at work; what a receiver does not take stands on the poison
// list, over a restart too, and is replayed by a request.
func TestWebhooks_OfARunningServer(t *testing.T) {
	var mu sync.Mutex
	var got []*http.Request
	var bodies [][]byte
	var refuse atomic.Bool
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || refuse.Load() {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		mu.Lock()
		got, bodies = append(got, r), append(bodies, b)
		mu.Unlock()
	}))
	t.Cleanup(receiver.Close)
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(got) }
	c := config.Default()
	c.Storage.Data = t.TempDir()
	c.Webhooks.File = filepath.Join(c.Storage.Data, "webhooks.json")
	c.Webhooks.AttemptsMax = 1
	require.NoError(t, os.WriteFile(c.Webhooks.File, []byte(`[{"name":"ends","url":"`+receiver.URL+`/in?token=hunter2","secret":"`+hookSecret+`","types":["run.completed"]}]`), 0o600))

	w := work(t, c)
	w.eventually("first checkpoint", func() bool {
		_, body := w.ask("GET", "/admin/webhooks", "")
		require.NotContains(t, body, "hunter2")
		return strings.Contains(body, `"active":true`) && !strings.Contains(body, "-0000000000000000")
	})
	dag := `{"flow_name":"f","run_name":"%s","tasks":[{"name":"a","function":"inputs","params":{}}]}`
	status, body := w.ask("POST", "/run-dag", fmt.Sprintf(dag, "r1"))
	require.Equal(t, 200, status, body)
	w.eventually("the end of the run", func() bool { return count() == 1 })
	var event map[string]any
	require.NoError(t, json.Unmarshal(bodies[0], &event))
	require.Equal(t, "quipu.run.completed.v1", event["type"])
	require.Equal(t, event["id"], got[0].Header.Get("webhook-id"))
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(hookSecret, "whsec_"))
	require.NoError(t, err)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", got[0].Header.Get("webhook-id"), got[0].Header.Get("webhook-timestamp"), bodies[0])
	require.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), got[0].Header.Get("webhook-signature"))

	refuse.Store(true)
	status, body = w.ask("POST", "/run-dag", fmt.Sprintf(dag, "r2"))
	require.Equal(t, 200, status, body)
	var list struct {
		Entries []struct {
			Position, Type, Reason string
			EventID                string `json:"event_id"`
		}
	}
	w.eventually("the poison list", func() bool {
		status, body := w.ask("GET", "/admin/webhooks/ends/poison", "")
		return status == 200 && json.Unmarshal([]byte(body), &list) == nil && len(list.Entries) == 1
	})
	require.Equal(t, "answered 418", list.Entries[0].Reason)
	require.Equal(t, "run.completed.v1", list.Entries[0].Type)
	_, health := w.ask("GET", "/metrics", "")
	require.Contains(t, health, `quipu_poison_messages{list="webhooks:ends"} 1`)
	w.stop()

	w = work(t, c)
	status, body = w.ask("POST", "/admin/webhooks/ends/poison/replay", "")
	require.Equal(t, 200, status, body)
	require.JSONEq(t, `{"taken":0,"failed":1,"left":1}`, body)
	refuse.Store(false)
	status, body = w.ask("POST", "/admin/webhooks/ends/poison/replay", `{"position":"`+list.Entries[0].Position+`"}`)
	require.Equal(t, 200, status, body)
	require.JSONEq(t, `{"taken":1,"failed":0,"left":0}`, body)
	require.Equal(t, 2, count())
	require.Equal(t, list.Entries[0].EventID, got[1].Header.Get("webhook-id"))
	for path, want := range map[string]int{"/nobody/poison/replay": 404, "/ends/poison/discard": 422} {
		status, body = w.ask("POST", "/admin/webhooks"+path, "")
		require.Equal(t, want, status, body)
	}
	status, body = w.ask("POST", "/admin/webhooks/ends/poison/discard", `{"position":"`+list.Entries[0].Position+`"}`)
	require.Equal(t, 404, status, body)
	status, body = w.ask("GET", "/admin/webhooks/ends/poison?after=nonsense", "")
	require.Equal(t, 422, status, body)
}

// Messages of a topic become commands of a server at work: twice the same is one run, what is refused is
// put aside, and the server starts though NATS is away.
func TestIntake_OfARunningServer(t *testing.T) {
	broker := natstest.Start(t)
	c := config.Default()
	c.Storage.Data = t.TempDir()
	c.NATS.URL, c.NATS.Intake = config.Secret(broker.URL()), "quipu-commands"
	broker.Stop()
	w := work(t, c)
	broker.Restart()
	conn, err := nats.Connect(nats.Options{URLs: broker.URL(), ReconnectMin: 10 * time.Millisecond, ReconnectMax: 100 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := conn.JetStream()
	require.NoError(t, err)
	send := func(id, body string) {
		t.Helper()
		w.eventually("published "+id, func() bool {
			_, err := js.PublishMsg(&natsgo.Msg{Subject: "quipu-commands", Header: natsgo.Header{natsgo.MsgIdHdr: {id}}, Data: []byte(body)})
			return err == nil // the stream is made once the server is connected
		})
	}
	dag := `{"command":"run-dag","dag":{"flow_name":"f","run_name":"r","tasks":[{"name":"ask","function":"approval_block","params":{}}]}}`
	send("m-1", dag)
	send("other", dag) // the name is taken while the first is under way
	w.eventually("the run waits", func() bool {
		_, body := w.ask("GET", "/api/approvals", "")
		return strings.Contains(body, intakebus.RunID("", "m-1"))
	})
	send("m-2", `{"command":"approve","started_by":"m-1","approver":"eve"}`)
	w.eventually("the run's end", func() bool {
		status, body := w.ask("GET", "/task-status/"+intakebus.RunID("", "m-1"), "")
		return status == 200 && strings.Contains(body, `"completed"`)
	})
	w.eventually("the dead letter", func() bool {
		m, err := js.GetLastMsg("quipu-commands-dead", "quipu-commands-dead")
		return err == nil && m.Header.Get("Quipu-Code") == "RUN_NAME_TAKEN" && m.Header.Get(natsgo.MsgIdHdr) == "other"
	})
	_, metrics := w.ask("GET", "/metrics", "")
	require.Contains(t, metrics, `quipu_intake_messages_total{command="run-dag",outcome="dead_letter"} 1`)
	require.Contains(t, metrics, `quipu_intake_messages_total{command="approve",outcome="done"} 1`)
}

var jsonBlocks = regexp.MustCompile("(?s)```json\n(.*?)```")

// The examples of the page are what the program takes.
func TestDocs_Intake(t *testing.T) {
	page, err := os.ReadFile("../docs/intake.md")
	require.NoError(t, err)
	blocks := jsonBlocks.FindAllSubmatch(page, -1)
	require.Len(t, blocks, 7)
	s := testServer(t)
	in := intakebus.Intake{Runs: s.executor, Definitions: s.definitions, Channels: s.channels, Registry: s.registry, Timeout: time.Second}
	keys := map[string]string{}
	for i, b := range blocks {
		command, err := in.Parse(fmt.Sprintf("m-%d", i), nil, bytes.TrimSpace(b[1]))
		require.NoError(t, err, "%s", b[1])
		keys[command.Name] = command.Key
	}
	require.Equal(t, intakebus.RunID("/shop", "order-4711"), keys["cancel"], "the example cancels the run of the other")
	require.Equal(t, keys["start"], keys["cancel"])
}
