package historytest

import (
	"path/filepath"
	"strings"
	"testing"

	"quipu/domain"
	"quipu/domain/name"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/infra/embedded"
)

// History is a log as its runs and names.
type History struct {
	Events int
	Runs   map[string][]domain.Recorded // by execution id
	Names  map[domain.StreamID][]domain.Recorded
}

// pageEvents is how much is read at once.
const pageEvents = 1000

// Read reads the log of a server that has ended, below its data folder, and fails the test where
// positions or revisions have a gap.
func Read(t testing.TB, data string) History {
	t.Helper()
	log, err := embedded.OpenReadOnly(filepath.Join(data, "log"), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}()
	h := History{Runs: map[string][]domain.Recorded{}, Names: map[domain.StreamID][]domain.Recorded{}}
	for after := domain.Position(0); ; {
		page, err := log.ReadAll(t.Context(), after, pageEvents)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return h
		}
		for _, e := range page {
			if e.Position != after+1 {
				t.Fatalf("positions have a gap: %d after %d", e.Position, after)
			}
			after = e.Position
			h.add(t, e)
		}
	}
}

func (h *History) add(t testing.TB, e domain.Recorded) {
	h.Events++
	if id, ok := strings.CutPrefix(string(e.Stream), "run-"); ok {
		if e.Revision != domain.Revision(len(h.Runs[id])) {
			t.Fatalf("revisions of %s have a gap: %d after %d events", e.Stream, e.Revision, len(h.Runs[id]))
		}
		h.Runs[id] = append(h.Runs[id], e)
	} else if strings.HasPrefix(string(e.Stream), name.StreamPrefix) {
		if e.Revision != domain.Revision(len(h.Names[e.Stream])) {
			t.Fatalf("revisions of %s have a gap: %d after %d events", e.Stream, e.Revision, len(h.Names[e.Stream]))
		}
		h.Names[e.Stream] = append(h.Names[e.Stream], e)
	}
}

// Seen is one event as a client was shown it.
type Seen struct {
	Execution string
	Offset    int64
	Event     string
}

// Trace is what a client must be shown of a run.
func (h History) Trace(id string) []Seen {
	out := make([]Seen, len(h.Runs[id]))
	for i, e := range h.Runs[id] {
		out[i] = Seen{id, int64(e.Revision), e.ID.String()}
	}
	return out
}

// CheckRuns reports runs whose decisions were not made once each, whose attempts do not count up, or
// whose end is not their last event.
func (h History) CheckRuns(t testing.TB) {
	for id, events := range h.Runs {
		h.checkRun(t, id, events)
	}
}

func (h History) checkRun(t testing.TB, id string, events []domain.Recorded) {
	if events[0].Type == wire.RunAbandoned {
		if len(events) > 1 {
			t.Errorf("the abandoned run %s goes on", id)
		}
		return
	}
	attempt, ended := map[string]int{}, map[string]bool{}
	for i, e := range events {
		if wire.EndsRun(e.Type) != (i == len(events)-1) {
			t.Errorf("run %s: revision %d is %s, the last is %d", id, i, e.Type, len(events)-1)
		}
		event, err := wire.DecodeRun(e.Type, e.Data)
		if err != nil {
			t.Errorf("run %s at revision %d: %v", id, i, err)
			continue
		}
		switch e := event.(type) {
		case run.TaskStarted:
			if attempt[e.Task] != 0 {
				t.Errorf("run %s starts %q twice", id, e.Task)
			}
			attempt[e.Task] = 1
		case run.TaskAttemptStarted:
			if e.Attempt != attempt[e.Task]+1 || ended[e.Task] {
				t.Errorf("run %s: attempt %d of %q after attempt %d", id, e.Attempt, e.Task, attempt[e.Task])
			}
			attempt[e.Task] = e.Attempt
		case run.TaskCompleted:
			if e.Attempt != attempt[e.Task] || ended[e.Task] {
				t.Errorf("run %s: %q ends with attempt %d, the newest is %d", id, e.Task, e.Attempt, attempt[e.Task])
			}
			ended[e.Task] = true
		case run.TaskFailed:
			if ended[e.Task] {
				t.Errorf("run %s: %q ends twice", id, e.Task)
			}
			ended[e.Task] = true
		}
	}
}

// CheckNames reports names that did not pass from run to run, each of which has ended before.
func (h History) CheckNames(t testing.TB) {
	bound := map[string]bool{}
	for stream, bindings := range h.Names {
		for i, e := range bindings {
			b, err := wire.DecodeNameBound(e.Type, e.Data)
			if err != nil || name.Stream(b.FlowName, b.RunName) != stream {
				t.Errorf("%s at revision %d is %s: %v", stream, i, e.Data, err)
				continue
			}
			bound[b.ExecutionID] = true
			events, last := h.Runs[b.ExecutionID], i == len(bindings)-1
			switch {
			case len(events) == 0 && !last:
				t.Errorf("%s: run %s was never begun, nor abandoned, and yet it was replaced", stream, b.ExecutionID)
			case len(events) == 0:
			case events[0].Position < e.Position:
				t.Errorf("%s: run %s began before its name was bound", stream, b.ExecutionID)
			case !last && events[len(events)-1].Position > bindings[i+1].Position:
				t.Errorf("%s: run %s had not ended when its name was given away", stream, b.ExecutionID)
			}
		}
	}
	for id := range h.Runs {
		if !bound[id] {
			t.Errorf("run %s was begun without a name", id)
		}
	}
}
