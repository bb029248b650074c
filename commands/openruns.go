package commands

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/wire"
)

// openRun is a run without an end.
type openRun struct {
	id    string
	began domain.Position
	due   int64 // the latest instant it has waited for, in Unix milliseconds; 0 if none
}

// openRuns are the runs without an end, as of a position of the log.
type openRuns struct {
	at   domain.Position
	byID map[string]openRun
}

func newOpenRuns() *openRuns { return &openRuns{byID: map[string]openRun{}} }

// note takes in an event, in the order of the log.
func (o *openRuns) note(r *domain.Recorded) {
	stream, ok := strings.CutPrefix(string(r.Stream), RunStreamPrefix)
	switch {
	case !ok || r.Position <= o.at: // of others, or known already
	case wire.EndsRun(r.Type):
		delete(o.byID, stream)
	case r.Revision == 0:
		id := strings.Clone(stream) // not the page with it
		o.byID[id] = openRun{id: id, began: r.Position}
	default:
		if due := waitsUntil(r); due > 0 {
			if run, ok := o.byID[stream]; ok {
				run.due = max(run.due, due)
				o.byID[run.id] = run
			}
		}
	}
	o.at = max(o.at, r.Position)
}

// sorted lists them in the order they began.
func (o *openRuns) sorted() []openRun {
	return slices.SortedFunc(maps.Values(o.byID), func(a, b openRun) int { return cmp.Compare(a.began, b.began) })
}

// waitsUntil reads until when a run may only have to wait after an event, 0 if it does not say.
func waitsUntil(r *domain.Recorded) int64 {
	field := "/due_at"
	switch r.Type {
	case wire.RunTaskRetryScheduled:
		field = "/retry_at"
	case wire.RunTimerSet:
	case wire.RunApprovalRequested, wire.RunEventAwaited:
		if _, ends := rawjson.Get(r.Data, field); !ends {
			return never.UnixMilli()
		}
	case wire.RunPaused:
		return never.UnixMilli()
	default:
		return 0
	}
	raw, _ := rawjson.Get(r.Data, field)
	at, err := time.Parse(`"`+domain.TimeLayout+`"`, string(raw))
	if err != nil {
		return 0
	}
	return at.UnixMilli()
}

// Snapshots keeps what would take a reading of the whole log to find out again. It is a cache: what is in
// it can always be thrown away. Safe for concurrent use, by several nodes.
type Snapshots interface {
	// Load gives the newest snapshot of a name and the position it is as of; 0 and nothing if there is
	// none of this log. Errors: ErrUnavailable.
	Load(ctx context.Context, name string) (domain.Position, []byte, error)
	// Save keeps a snapshot in place of one that is as of an earlier position; an older one is not kept,
	// which is no error. Errors: ErrUnavailable, ErrInvalid above SnapshotBytesMax.
	Save(ctx context.Context, name string, at domain.Position, snapshot []byte) error
}

// SnapshotBytesMax bounds one snapshot.
const SnapshotBytesMax = 64 << 20

// CheckSnapshot is for adapters. Errors: ErrInvalid.
func CheckSnapshot(name string, snapshot []byte) error {
	if len(snapshot) > SnapshotBytesMax {
		return domain.E(domain.KindInvalid, "save snapshot", name, fmt.Sprintf("has %d bytes, at most %d are allowed", len(snapshot), SnapshotBytesMax))
	}
	return nil
}

const (
	// openRunsSnapshot is the snapshot's name; its form is part of it.
	openRunsSnapshot = "open-runs.v1"
	// snapshotEvents is after how many further events a snapshot is worth being made anew.
	snapshotEvents = 20_000
	// snapshotEvery is the shortest while between two.
	snapshotEvery = time.Minute
)

// encode is the snapshot: [[id, began, due], …].
func (o *openRuns) encode() []byte {
	b := []byte("[")
	for i, r := range o.sorted() {
		if i > 0 {
			b = append(b, ',')
		}
		b = rawjson.AppendString(append(b, '['), r.id)
		b = fmt.Appendf(b, ",%d,%d]", r.began, r.due)
	}
	return append(b, ']')
}

func decodeOpenRuns(at domain.Position, b []byte) (*openRuns, error) {
	var rows []json.RawMessage
	if err := json.Unmarshal(b, &rows); err != nil {
		return nil, err
	}
	o := newOpenRuns()
	o.at = at
	for _, row := range rows {
		var r openRun
		if err := json.Unmarshal(row, &[3]any{&r.id, &r.began, &r.due}); err != nil {
			return nil, err
		}
		o.byID[r.id] = r
	}
	return o, nil
}

// scanRuns finds the runs without an end by reading the log, from the newest snapshot on if there is one.
// It reports how many events that took.
func (e *Executor) scanRuns(ctx context.Context) (o *openRuns, read int, err error) {
	o = e.remembered(ctx)
	for {
		page, err := patiently(ctx, e, func() ([]domain.Recorded, error) { return e.deps.Log.ReadAll(ctx, o.at, scanPage) })
		if err != nil || len(page) == 0 {
			return o, read, err
		}
		for i := range page {
			o.note(&page[i])
		}
		read += len(page)
	}
}

// remembered is the newest snapshot. One that cannot be had costs time, no more.
func (e *Executor) remembered(ctx context.Context) *openRuns {
	if e.deps.Snapshots == nil {
		return newOpenRuns()
	}
	at, b, err := e.deps.Snapshots.Load(ctx, openRunsSnapshot)
	if err == nil && b == nil {
		return newOpenRuns()
	}
	var o *openRuns
	if err == nil {
		o, err = decodeOpenRuns(at, b)
	}
	if err == nil {
		var head domain.Position
		if head, err = patiently(ctx, e, func() (domain.Position, error) { return e.deps.Log.Head(ctx) }); err == nil && at <= head {
			return o
		}
	}
	e.deps.Logger.Warn("what was remembered of the unfinished runs cannot be used; the whole log is read", "position", at, "error", err)
	return newOpenRuns()
}

// snapshots makes a snapshot now and then: whichever node owns that. It belongs to the follower.
type snapshots struct {
	read int       // events since the last one
	next time.Time // not before
	busy chan struct{}
}

// snapshot keeps the runs without an end if enough came since the last time.
func (e *Executor) snapshot(s *snapshots, o *openRuns) {
	now := e.deps.Clock.Now()
	if e.deps.Snapshots == nil || s.read < snapshotEvents || now.Before(s.next) || !e.owns("snapshot:"+openRunsSnapshot) {
		return
	}
	select {
	case s.busy <- struct{}{}:
	default:
		return // the one before is on its way
	}
	s.read, s.next = 0, now.Add(snapshotEvery)
	kept := &openRuns{at: o.at, byID: maps.Clone(o.byID)}
	e.wg.Go(func() {
		defer func() { <-s.busy }()
		if err := e.deps.Snapshots.Save(e.work, openRunsSnapshot, kept.at, kept.encode()); err != nil && e.work.Err() == nil {
			e.deps.Logger.Warn("the unfinished runs are not remembered; a start reads more of the log", "error", err)
		}
	})
}
