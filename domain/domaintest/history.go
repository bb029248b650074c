package domaintest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// TB is what helpers need; *testing.T, *testing.B and *rapid.T have it.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Append is one append of a history.
type Append struct {
	Command run.Command
	Events  []run.Event
	More    bool
}

// History is one run as a log would hold it.
type History struct {
	State   *run.State
	Facts   []run.Fact // as read back, with graph and input of the start loaded
	Appends []Append
	Stored  []domain.Recorded
	Blobs   map[string][]byte

	// Light skips encoding and folding, which dominate very large histories.
	Light bool

	stream  domain.StreamID
	head    wire.Head
	compute run.Compute
	model   *model
}

// NewHistory is the history of a run that does not exist.
func NewHistory() *History {
	return &History{State: run.New(), Blobs: map[string][]byte{}, stream: "run-test", head: wire.NewHead(), compute: Compute{}}
}

// LargestCause has every field as long as the doors let through.
func LargestCause() wire.Cause {
	id := strings.Repeat("\"", 100)
	return wire.Cause{
		Actor:     wire.Actor{Kind: wire.ActorAnonymous, ID: id, Via: "executor"},
		CommandID: id, CorrelationID: id[:36], CausationID: id[:36], Traceparent: strings.Repeat("0", 55),
	}
}

// Do decides a command, stores its events and checks what must hold. The error is Decide's.
func (h *History) Do(t TB, c run.Command) (run.Decision, error) {
	t.Helper()
	before := h.State
	revision, phase, active := before.Revision, before.Phase, before.Active()
	d, err := run.Decide(before, c, h.compute)
	if before.Revision != revision || before.Phase != phase || before.Active() != active {
		t.Fatalf("%T changed the state it was given", c)
	}
	if err != nil {
		if d.Events != nil || d.Next != nil || d.Blobs != nil || d.More {
			t.Fatalf("%T was refused and yet gave %+v", c, d)
		}
		return d, err
	}
	if len(d.Events) == 0 {
		if diff := DiffStates(before, d.Next); diff != "" || len(d.Blobs) > 0 {
			t.Fatalf("%T gave no event and yet changes something: %s", c, diff)
		}
		return d, nil
	}
	h.store(t, c, d)
	return d, nil
}

func (h *History) store(t TB, c run.Command, d run.Decision) {
	t.Helper()
	for _, b := range d.Blobs {
		sum := sha256.Sum256(b)
		h.Blobs[hex.EncodeToString(sum[:])] = b
	}
	pending := h.seal(t, d)
	facts := make([]run.Fact, len(d.Events))
	for i, e := range d.Events {
		facts[i] = h.fact(t, d, pending[i], i, e)
	}
	if !h.Light {
		next, err := run.Fold(h.State, facts...)
		if err != nil {
			t.Fatalf("%T: its own events do not fold: %v", c, err)
		}
		if diff := DiffStates(d.Next, next); diff != "" {
			t.Fatalf("%T: the fold of its events is not Next (-next +fold):\n%s", c, diff)
		}
	}
	if h.model == nil {
		h.model = newModel(facts[0])
	}
	for i := range facts {
		if err := h.model.add(facts[i], facts[:i]); err != nil {
			t.Fatalf("%T, revision %d (%s): %v", c, facts[i].Revision, Describe(facts[i].Event), err)
		}
	}
	if err := h.model.settled(c, d); err != nil {
		t.Fatalf("%T, after revision %d: %v", c, d.Next.Revision, err)
	}
	h.Facts = append(h.Facts, facts...)
	h.Appends = append(h.Appends, Append{Command: c, Events: d.Events, More: d.More})
	h.State = d.Next
}

// seal encodes and chains the events and checks the bounds of an append.
func (h *History) seal(t TB, d run.Decision) []domain.Pending {
	t.Helper()
	pending := make([]domain.Pending, len(d.Events))
	expected := h.head.Revision
	for i, e := range d.Events {
		typ, data := wire.EncodeRun(e)
		pending[i], h.head = wire.Seal(h.stream, h.head, d.Next.LastAt, LargestCause(), typ, data)
		if !h.Light {
			h.Stored = append(h.Stored, domain.Recorded{
				Stream: h.stream, Revision: h.head.Revision, ID: pending[i].ID, Type: typ, Metadata: pending[i].Metadata, Data: data,
			})
		}
	}
	if err := domain.CheckAppend(h.stream, expected, pending); err != nil {
		t.Fatalf("no log would take this decision: %v", err)
	}
	if n, b := len(pending), domain.AppendBytes(pending); n > domain.DecisionEventsMax || b > domain.DecisionBytesMax {
		t.Fatalf("a decision of %d events and %d bytes cannot join another", n, b)
	}
	if h.head.Revision != d.Next.Revision {
		t.Fatalf("Next is at revision %d, the stream at %d", d.Next.Revision, h.head.Revision)
	}
	return pending
}

// fact is the event as a reader gets it.
func (h *History) fact(t TB, d run.Decision, p domain.Pending, i int, e run.Event) run.Fact {
	t.Helper()
	f := run.Fact{Revision: h.State.Revision + 1 + domain.Revision(i), At: d.Next.LastAt, Event: e}
	if !h.Light {
		back, err := wire.DecodeRun(p.Type, p.Data)
		if err != nil {
			t.Fatalf("%s cannot be read back: %v", p.Type, err)
		}
		if !reflect.DeepEqual(e, back) { // much faster, but sees a difference between nil and empty
			if diff := cmp.Diff(e, back, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("%s is read back differently (-decided +read):\n%s", p.Type, diff)
			}
		}
		f.Event = back
	}
	s, ok := f.Event.(run.Started)
	if !ok {
		return f
	}
	f.Graph, f.Input = d.Next.Graph, h.Load(t, s.Input)
	if !s.Reused.Absent() {
		f.Reused = h.Load(t, s.Reused)
	}
	if !h.Light {
		def, err := wire.DecodeDefinition(h.Load(t, s.Definition))
		if err != nil {
			t.Fatalf("the definition cannot be read back: %v", err)
		}
		if f.Graph, err = workflow.Compile(def, nil); err != nil {
			t.Fatalf("the stored definition does not compile: %v", err)
		}
	}
	return f
}

// Load puts a value's blobs in their places; secrets stay holes.
func (h *History) Load(t TB, v domain.Value) domain.Value {
	t.Helper()
	out := domain.Value{}
	b, err := v.Fill(func(hole domain.Hole) ([]byte, error) {
		if hole.Blob == "" {
			out.Holes = append(out.Holes, hole)
			return []byte("null"), nil
		}
		content, ok := h.Blobs[hole.Blob]
		if !ok || int64(len(content)) != hole.Bytes {
			return nil, errors.New("blob " + hole.Blob + " was not handed out, or has another size")
		}
		return content, nil
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	out.JSON = b
	return out
}

// DiffStates compares everything two states hold; "" if equal.
func DiffStates(a, b *run.State) string {
	// Comparing thousands of tasks by reflection dominates; most are equal at first sight.
	tasks := cmp.FilterPath(func(p cmp.Path) bool {
		f, ok := p.Last().(cmp.StructField)
		return ok && f.Name() == "tasks"
	}, cmp.Ignore())
	if !sameTasks(a, b) {
		tasks = cmpopts.EquateEmpty()
	}
	return cmp.Diff(a, b, tasks,
		cmp.Exporter(func(reflect.Type) bool { return true }),
		cmpopts.EquateEmpty(),
		// Who may write to a page in place is no part of what the state says.
		cmp.FilterPath(func(p cmp.Path) bool {
			f, ok := p.Last().(cmp.StructField)
			return ok && (f.Name() == "owner" || f.Name() == "fresh")
		}, cmp.Ignore()),
		cmp.Comparer(func(a, b *workflow.Graph) bool {
			return a == b || a != nil && b != nil && slices.Equal(a.Edges, b.Edges) && slices.EqualFunc(a.Nodes, b.Nodes, sameNode)
		}),
		cmp.Comparer(func(a, b domain.Value) bool { return sameValue(a, b) }),
	)
}

func sameTasks(a, b *run.State) bool {
	if a.Tasks() != b.Tasks() {
		return false
	}
	for i := range a.Tasks() {
		x, y := *a.Task(i), *b.Task(i)
		same := sameValue(x.Input, y.Input) && sameValue(x.Output, y.Output) &&
			x.StartedAt.Equal(y.StartedAt) && x.AttemptAt.Equal(y.AttemptAt) && x.DueAt.Equal(y.DueAt)
		if !same || x.Phase != y.Phase || x.GateHeld != y.GateHeld || x.Open != y.Open || x.Live != y.Live ||
			x.Attempt != y.Attempt || x.Failures != y.Failures || x.Node != y.Node || x.Channel != y.Channel || x.Revision != y.Revision {
			return false
		}
	}
	return reflect.TypeFor[run.Task]().NumField() == 14 // a new field must be compared above
}

func sameValue(a, b domain.Value) bool {
	return bytes.Equal(a.JSON, b.JSON) && (a.JSON == nil) == (b.JSON == nil) && slices.Equal(a.Holes, b.Holes)
}

func sameNode(a, b workflow.Node) bool {
	if !sameValue(a.Params, b.Params) {
		return false
	}
	a.Params, b.Params = domain.Value{}, domain.Value{}
	return reflect.DeepEqual(a, b)
}
