package intakebus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/commands"
	"quipu/commands/definition"
	"quipu/commands/intakebus"
	"quipu/commands/node"
	"quipu/commands/nodetypes"
	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/eventbus"
	"quipu/infra/clock"
	"quipu/infra/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is the intake over the real services and stores in memory; restart makes new services on the same
// stores, as the next process does.
type world struct {
	t           *testing.T
	log         *memory.Log
	blobs       *memory.Blobs
	vault       *memory.Vault
	intake      *intakebus.Intake
	definitions *commands.Definitions
	executor    *commands.Executor
	stop        func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, log: memory.NewLog(), blobs: memory.NewBlobs(), vault: memory.NewVault()}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *world) start() {
	w.t.Helper()
	registry, err := node.NewRegistry(nodetypes.All(nodetypes.Deps{HTTP: http.DefaultClient})...)
	require.NoError(w.t, err)
	system, effects := clock.System{}, eventbus.NewEffects(8, nil)
	secrets := commands.Secrets{Vault: w.vault, Blobs: w.blobs}
	w.executor = commands.NewExecutor(commands.Deps{
		Log: w.log, Blobs: w.blobs, Secrets: secrets, Effects: effects, Registry: registry,
		Compute: commands.Compute{Registry: registry, Blobs: w.blobs}, Clock: system, IDs: system,
	}, commands.Limits{})
	w.definitions = commands.NewDefinitions(commands.DefinitionDeps{
		Log: w.log, Blobs: w.blobs, Secrets: secrets, Clock: system, IDs: system, Registry: registry, Starter: w.executor,
	})
	channels := commands.NewChannels(commands.ChannelDeps{Log: w.log, Blobs: w.blobs, Secrets: secrets, Clock: system, IDs: system})
	w.intake = &intakebus.Intake{Runs: w.executor, Definitions: w.definitions, Channels: channels, Registry: registry, Timeout: 10 * time.Second}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.executor.Run(ctx) }()
	<-w.executor.Ready()
	w.stop = func() {
		cancel()
		require.NoError(w.t, <-ended)
		effects.Wait()
		w.stop = func() {}
	}
}

func (w *world) restart() { w.stop(); w.start() }

// do carries one message out.
func (w *world) do(id, body string) error {
	w.t.Helper()
	c, err := w.intake.Parse(id, nil, []byte(body))
	if err != nil {
		return err
	}
	return c.Do(w.t.Context())
}

// events counts the events of a run by type.
func (w *world) events(runID string) map[string]int {
	w.t.Helper()
	page, err := w.log.ReadStream(w.t.Context(), commands.RunStream(runID), 0, 500)
	require.NoError(w.t, err)
	out := map[string]int{}
	for _, e := range page {
		out[e.Type]++
	}
	return out
}

func (w *world) phase(runID string) run.Phase {
	w.t.Helper()
	s, err := w.executor.Await(w.t.Context(), runID, 10*time.Second)
	require.NoError(w.t, err)
	return s.Phase
}

const dag = `{"flow_name":"ask","run_name":"%s","tasks":[{"name":"ask","function":"approval_block","params":{}},{"name":"then","function":"inputs","params":{}}],"edges":[{"source":"ask","target":"then"}]}`

// Every command, each message taken twice, the second time by another process: what is recorded is as if
// it had come once.
func TestIntake_EachMessageCountsOnce(t *testing.T) {
	w := newWorld(t)
	graph, faults := definition.Parse([]byte(`{"nodes":[{"id":"in","type":"trigger"},{"id":"out","type":"end"}],"edges":[{"source":"in","target":"out"}]}`), w.intake.Registry)
	require.Empty(t, faults)
	name := "greeting"
	made, err := w.definitions.Create(t.Context(), commands.Change{Name: &name, Graph: graph}, commands.By{})
	require.NoError(t, err)
	twice := func(id, body string) {
		t.Helper()
		require.NoError(t, w.do(id, body))
		w.restart()
		require.NoError(t, w.do(id, body))
	}
	twice("s1", `{"command":"start","workflow_id":"`+made.ID+`","input_data":{"n":1e400}}`)
	stored := intakebus.RunID("", "s1")
	require.Equal(t, run.PhaseCompleted, w.phase(stored))
	require.Equal(t, 1, w.events(stored)[wire.RunStarted])

	twice("d1", `{"command":"run-dag","dag":`+fmt.Sprintf(dag, "one")+`}`)
	first := intakebus.RunID("", "d1")
	twice("p1", `{"command":"pause","started_by":"d1","reason":"lunch"}`)
	twice("r1", `{"command":"resume","started_by":"d1"}`)
	twice("g1", `{"command":"signal","started_by":"d1","name":"hello","payload":{"a":[1,2]}}`)
	twice("g2", `{"command":"signal","execution_id":"exec_`+first+`","name":"hello"}`)
	twice("a1", `{"command":"approve","execution_id":"`+first+`","approver":"eve","comment":"fine"}`)
	require.Equal(t, run.PhaseCompleted, w.phase(first))
	events := w.events(first)
	for typ, n := range map[string]int{wire.RunStarted: 1, "run.paused.v1": 1, "run.resumed.v1": 1, "run.signal_received.v1": 2, "run.approval_decided.v1": 1, "run.completed.v1": 1} {
		if events[typ] != n {
			t.Errorf("%d of %s, want %d: %v", events[typ], typ, n, events)
		}
	}
	twice("d2", `{"command":"run-dag","dag":`+fmt.Sprintf(dag, "two")+`}`)
	twice("x2", `{"command":"reject","started_by":"d2"}`)
	require.NotEqual(t, run.Running, w.phase(intakebus.RunID("", "d2")))
	twice("d3", `{"specversion":"1.0","id":"d3","source":"/shop","type":"quipu.command.run-dag","data":{"dag":`+fmt.Sprintf(dag, "three")+`}}`)
	twice("ignored", `{"specversion":"1.0","id":"c3","source":"/shop","type":"quipu.command.cancel","data":{"started_by":"d3","reason":"no stock"}}`)
	require.Equal(t, run.PhaseCancelled, w.phase(intakebus.RunID("/shop", "d3")))
	twice("m1", `{"command":"publish","channel":"orders","payload":"x"}`)
	head, err := w.log.Head(t.Context())
	require.NoError(t, err)
	all, err := w.log.ReadAll(t.Context(), 0, int(head))
	require.NoError(t, err)
	published := 0
	for _, e := range all {
		if strings.HasPrefix(string(e.Stream), "channel-") {
			published++
		}
		m, err := wire.DecodeMetadata(e.Metadata)
		require.NoError(t, err)
		if m.Actor.Kind == wire.ActorSystem && m.Actor.Via == "bus" {
			require.Equal(t, "bus", m.Actor.ID)
		}
	}
	require.Equal(t, 1, published)
}

// What time does not mend is told from what it does.
func TestIntake_RefusalsDoNotPass(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.do("d1", `{"command":"run-dag","dag":`+fmt.Sprintf(dag, "one")+`}`))
	for body, code := range map[string]string{
		`{"command":"run-dag","dag":` + fmt.Sprintf(dag, "other") + `}`: "IDEMPOTENCY_KEY_REUSED",
	} {
		err := w.do("d1", body)
		require.Equal(t, code, code4(err), "%v", err)
		require.False(t, intakebus.Passing(err))
	}
	for body, code := range map[string]string{
		`{"command":"cancel","execution_id":"0197c1d2-0000-7000-8000-00000000000a"}`: "EXECUTION_UNKNOWN",
		`{"command":"start","workflow_id":"nobody"}`:                                 "WORKFLOW_UNKNOWN",
		`{"command":"approve","started_by":"d1","node_id":"then"}`:                   "NOT_AWAITING_APPROVAL",
		`{"command":"run-dag","dag":` + fmt.Sprintf(dag, "one") + `}`:                "RUN_NAME_TAKEN",
	} {
		err := w.do("new", body)
		require.Equal(t, code, code4(err), "%s: %v", body, err)
		require.False(t, intakebus.Passing(err), "%v", err)
	}
	for _, kind := range []domain.Kind{domain.KindUnavailable, domain.KindIndeterminate, domain.KindExhausted, domain.KindDeadline, domain.KindConflict} {
		require.True(t, intakebus.Passing(domain.E(kind, "", "", "x")))
	}
	require.False(t, intakebus.Passing(errors.New("a bug")))
}

func code4(err error) string {
	if e, ok := errors.AsType[*domain.Error](err); ok {
		return e.Code
	}
	return ""
}

func TestParse_BadMessages(t *testing.T) {
	w := newWorld(t)
	for body, field := range map[string]string{
		"":                                      "body",
		"hello":                                 "body",
		"[]":                                    "body",
		"null":                                  "body",
		"\xef\xbb\xbf{}":                        "body",
		`{"command":"cancel"`:                   "body",
		`{"a":"` + "\xff" + `"}`:                "body",
		strings.Repeat("[", 1000):               "body",
		`{}`:                                    "/command",
		`{"command":5}`:                         "/command",
		`{"command":"drop tables"}`:             "command",
		`{"command":"cancel"}`:                  "/execution_id",
		`{"command":"cancel","execution_id":7}`: "/execution_id",
		`{"command":"cancel","execution_id":"a","started_by":"b"}`:               "/execution_id",
		`{"command":"cancel","execution_id":"` + strings.Repeat("x", 600) + `"}`: "/execution_id",
		`{"command":"cancel","execution_id":"a","reason":{}}`:                    "/reason",
		`{"command":"signal","execution_id":"a"}`:                                "/name",
		`{"command":"approve","execution_id":"a","comment":1}`:                   "/comment",
		`{"command":"start"}`: "/workflow_id",
		`{"command":"start","workflow_id":"a","input_data":[]}`:                               "/input_data",
		`{"command":"publish"}`:                                                               "/channel",
		`{"command":"run-dag"}`:                                                               "/dag",
		`{"command":"run-dag","dag":[]}`:                                                      "body",
		`{"specversion":"1.0"}`:                                                               "/id",
		`{"specversion":"0.3","id":"a","source":"b","type":"c"}`:                              "/specversion",
		`{"specversion":"1.0","id":"a","source":"b","type":"com.x"}`:                          "/type",
		`{"specversion":"1.0","id":"a","source":"b","type":"quipu.command.cancel"}`:           "/data",
		`{"specversion":"1.0","id":"é","source":"b","type":"quipu.command.cancel","data":{}}`: "id",
	} {
		_, err := w.intake.Parse("id", nil, []byte(body))
		e, ok := errors.AsType[*domain.Error](err)
		require.True(t, ok, "%.80s: %v", body, err)
		require.Equal(t, field, e.Field, "%.80s: %v", body, err)
		require.NotEmpty(t, e.Code, "%.80s", body)
		require.False(t, intakebus.Passing(err))
	}
	_, err := w.intake.Parse("", nil, []byte(`{"command":"cancel","execution_id":"a"}`))
	require.Equal(t, "ID_MISSING", code4(err))
}

// Commands of one run have one key, that of its start among them.
func TestParse_KeysFollowTheRun(t *testing.T) {
	w := newWorld(t)
	key := func(id, body string) string {
		t.Helper()
		c, err := w.intake.Parse(id, nil, []byte(body))
		require.NoError(t, err)
		return c.Key
	}
	start := key("s", `{"command":"start","workflow_id":"w"}`)
	require.Equal(t, start, key("c", `{"command":"cancel","started_by":"s"}`))
	require.Equal(t, start, key("c", `{"command":"signal","execution_id":"exec_`+start+`","name":"n"}`))
	require.NotEqual(t, start, key("s2", `{"command":"start","workflow_id":"w"}`))
	require.NotEqual(t, start, key("c", `{"command":"publish","channel":"`+start+`"}`))
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"command":"start","workflow_id":"w","input_data":{}}`, `{"command":"run-dag","dag":{"flow_name":"f","tasks":[]}}`,
		`{"specversion":"1.0","id":"a","source":"b","type":"quipu.command.cancel","data":{"execution_id":"x"}}`,
		`{"command":"signal","started_by":"d","name":"n","payload":[1]}`, `{"command":"publish","channel":"c"}`, `{`, `"\ud800"`,
	} {
		f.Add("id", s)
	}
	registry, err := node.NewRegistry(nodetypes.All(nodetypes.Deps{HTTP: http.DefaultClient})...)
	require.NoError(f, err)
	intake := &intakebus.Intake{Runs: (*commands.Executor)(nil), Registry: registry, Timeout: time.Second} // nothing is carried out
	f.Fuzz(func(t *testing.T, id, body string) {
		c, err := intake.Parse(id, nil, []byte(body))
		if err != nil {
			require.False(t, intakebus.Passing(err), "%v", err)
			return
		}
		require.NotEmpty(t, c.Key)
		require.True(t, json.Valid([]byte(body)))
	})
}
