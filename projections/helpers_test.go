package projections_test

import (
	"context"
	"fmt"
	"reflect"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/domaintest"
	"quipu/domain/wire"
	"quipu/infra/memory"
	"quipu/projections"
)

// logFeed reads a log as main does.
type logFeed struct{ commands.Log }

func (f logFeed) Follow(ctx context.Context, after domain.Position) (projections.Source, error) {
	sub, err := f.Subscribe(ctx, after, "")
	if err != nil {
		return nil, err
	}
	return logSource{sub}, nil
}

type logSource struct{ commands.Subscription }

func (s logSource) Next(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
	b, err := s.Subscription.Next(ctx)
	return b.Events, b.Position, b.CaughtUp, err
}

// stored is an event ready to be written.
type stored struct {
	stream domain.StreamID
	typ    string
	data   []byte
}

// writer appends events to a log, chained and one second apart.
type writer struct {
	t     testing.TB
	log   *memory.Log
	heads map[domain.StreamID]wire.Head
	ms    int
}

func newWriter(t testing.TB) *writer {
	return &writer{t: t, log: memory.NewLog(), heads: map[domain.StreamID]wire.Head{}}
}

func (w *writer) append(events ...stored) domain.Position {
	w.t.Helper()
	var last domain.Position
	for _, e := range events {
		head, ok := w.heads[e.stream]
		if !ok {
			head = wire.NewHead()
		}
		w.ms += 1000
		p, next := wire.Seal(e.stream, head, head.Instant(domaintest.At(w.ms)), wire.Cause{Actor: wire.Actor{Kind: wire.ActorSystem}}, e.typ, e.data)
		at, err := w.log.Append(context.Background(), e.stream, head.Revision, []domain.Pending{p})
		require.NoError(w.t, err)
		w.heads[e.stream], last = next, at.Position
	}
	return last
}

func (w *writer) events() []domain.Recorded {
	w.t.Helper()
	var all []domain.Recorded
	for {
		var after domain.Position
		if len(all) > 0 {
			after = all[len(all)-1].Position
		}
		page, err := w.log.ReadAll(context.Background(), after, 1000)
		require.NoError(w.t, err)
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}

// snapshot renders every row of a store, one a line, in order of tables and keys.
func snapshot(t testing.TB, store projections.Store) []string {
	t.Helper()
	ctx := context.Background()
	s, err := store.Snapshot(ctx)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	var out []string
	out = lines(t, out, "execution", s.Executions(ctx))
	out = lines(t, out, "status", s.Statuses(ctx))
	out = lines(t, out, "task", s.Tasks(ctx))
	out = lines(t, out, "approval", s.Approvals(ctx))
	out = lines(t, out, "event", s.Events(ctx))
	out = lines(t, out, "workflow", s.Workflows(ctx))
	out = lines(t, out, "version", s.WorkflowVersions(ctx))
	out = lines(t, out, "name", s.Names(ctx))
	out = lines(t, out, "endpoint", s.Endpoints(ctx))
	parked, err := store.Parked(ctx, 1000)
	require.NoError(t, err)
	for _, p := range parked {
		out = append(out, "parked "+describe(p))
	}
	return out
}

func lines[Row any](t testing.TB, out []string, table string, rows func(func(Row, error) bool)) []string {
	t.Helper()
	for row, err := range rows {
		require.NoError(t, err)
		out = append(out, table+" "+describe(row))
	}
	return out
}

// describe renders the fields of a row that are not zero.
func describe(row any) string {
	var words []string
	fields(reflect.ValueOf(row), "", &words)
	return strings.Join(words, " ")
}

func fields(v reflect.Value, path string, words *[]string) {
	switch x := v.Interface().(type) {
	case time.Time:
		if !x.IsZero() {
			*words = append(*words, path+"="+x.UTC().Format("15:04:05.000"))
		}
		return
	case domain.Value:
		if !x.Absent() {
			*words = append(*words, fmt.Sprintf("%s=%.80s", path, x.JSON))
		}
		for _, h := range x.Holes {
			*words = append(*words, fmt.Sprintf("%s.hole=%s:%s%.8s", path, h.At, h.Sealed, h.Blob))
		}
		return
	case []byte, domain.EventID:
		return // the log's own bytes
	case domain.Revision:
		if path == "EndedOffset" || x != 0 {
			*words = append(*words, fmt.Sprintf("%s=%d", path, x))
		}
		return
	case string:
		if x != "" {
			*words = append(*words, fmt.Sprintf("%s=%.60s", path, x))
		}
		return
	}
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			fields(v.Field(i), v.Type().Field(i).Name, words)
		}
		return
	}
	if !v.IsZero() {
		*words = append(*words, fmt.Sprintf("%s=%v", path, v.Interface()))
	}
}

// changes renders what one fold led to, by projector.
func changes(c projections.Changes) map[string][]string {
	out := map[string][]string{}
	add := func(projector string, row any, kind string) {
		out[projector] = append(out[projector], kind+" "+describe(row))
	}
	for _, r := range c.Executions {
		add("executions", r, "row")
	}
	for _, r := range c.Statuses {
		add("executions", r, "status")
	}
	for _, r := range c.Tasks {
		add("tasks", r, "row")
	}
	for _, r := range c.Approvals {
		add("approvals", r, "row")
	}
	for _, r := range c.Events {
		add("events", r, "row")
	}
	for _, r := range c.Workflows {
		add("workflows", r, "row")
	}
	for _, r := range c.WorkflowVersions {
		add("workflows", r, "version")
	}
	for _, r := range c.Names {
		add("names", r, "row")
	}
	for _, r := range c.Endpoints {
		add("endpoints", r, "row")
	}
	for _, r := range c.Parked {
		add(r.Projector, r, "parked")
	}
	for _, rows := range out {
		sort.Strings(rows)
	}
	return out
}
