package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"quipu/domain"
	"quipu/projections/view"
)

const eventColumns = "e.position, e.execution, e.revision, e.type, e.node, e.function, e.workflow, e.at"

// typeBranchesMax is up to how many types are looked up one by one; more are picked out while reading
// in order of position.
const typeBranchesMax = 32

// Events answers q. The bytes of events are read from the log.
func (v *Views) Events(ctx context.Context, q view.EventQuery) (view.Slice[view.Event], error) {
	var s view.Slice[view.Event]
	err := v.read(ctx, func(r *reading) error {
		s = view.Slice[view.Event]{As: r.state.Checkpoint}
		branches, w, err := r.eventBranches(ctx, q)
		if err != nil {
			return err
		}
		if q.Total {
			if s.Total, err = r.total(ctx, branches, w); err != nil {
				return err
			}
		}
		var raw []rawEvent
		if s.More, err = r.page(ctx, branches, q.Page, w, func(rows *sql.Rows) error {
			e, err := scanRaw(ctx, rows)
			raw = append(raw, e)
			return err
		}); err != nil {
			return err
		}
		s.Rows, err = r.events(ctx, raw)
		return err
	})
	if err != nil {
		return s, err
	}
	return s, translate(ctx, "read", v.fill(ctx, s.Rows))
}

// rawEvent is a row of the events table.
type rawEvent struct{ position, execution, revision, kind, node, function, workflow, at int64 }

func scanRaw(_ context.Context, rows *sql.Rows) (e rawEvent, err error) {
	err = rows.Scan(&e.position, &e.execution, &e.revision, &e.kind, &e.node, &e.function, &e.workflow, &e.at)
	return e, err
}

// eventBranches says where q's rows are found; none if there can be no row.
func (r *reading) eventBranches(ctx context.Context, q view.EventQuery) ([]branch, window, error) {
	w := everything.after(q.After)
	if q.Before != 0 {
		w = w.before(q.Before)
	}
	w, err := r.times(ctx, spanEvents, w, q.From, q.To)
	if err != nil || w.empty() {
		return nil, w, err
	}
	var where condition
	if !q.From.IsZero() {
		where.add("e.at >= ?", bound(q.From))
	}
	if !q.To.IsZero() {
		where.add("e.at < ?", bound(q.To))
	}
	index := ""
	for _, f := range []struct{ value, column string }{{q.WorkflowID, "workflow"}, {q.Node, "node"}} {
		if f.value == "" {
			continue
		}
		id, found, err := r.wordID(ctx, f.value)
		if err != nil || !found {
			return nil, w, err
		}
		where.add("e."+f.column+" = ? AND e."+f.column+" <> 0", id)
		index = "events_" + f.column
	}
	types, none, err := r.types(ctx, q.Types)
	if err != nil || none {
		return nil, w, err
	}
	if q.ExecutionID == "" && index == "" && len(types) > 0 && len(types) <= typeBranchesMax {
		var all []branch
		for _, t := range types {
			b := branch{columns: eventColumns, from: "events e INDEXED BY events_type", key: "e.position"}
			b.where.add("e.type = ?", t)
			b.where.join(where)
			all = append(all, b)
		}
		return all, w, nil
	}
	if len(types) > 0 {
		where.add("e.type IN (?"+strings.Repeat(",?", len(types)-1)+")", types...)
	}
	if q.ExecutionID != "" {
		return r.executionEvents(ctx, q.ExecutionID, where, w)
	}
	from := "events e NOT INDEXED"
	if index != "" {
		from = "events e INDEXED BY " + index
	}
	return []branch{{columns: eventColumns, from: from, key: "e.position", where: where}}, w, nil
}

// types are the numbers of stored types, each once; none says that no event has any of them.
func (r *reading) types(ctx context.Context, names []string) (ids []any, none bool, err error) {
	for _, name := range names {
		id, found, err := r.wordID(ctx, name)
		if err != nil {
			return nil, false, err
		}
		if found && !slices.Contains(ids, any(id)) {
			ids = append(ids, id)
		}
	}
	return ids, len(names) > 0 && len(ids) == 0, nil
}

// executionEvents finds the events of an execution: those of its stream, and strays.
func (r *reading) executionEvents(ctx context.Context, id string, where condition, w window) ([]branch, window, error) {
	strays := branch{columns: strings.Replace(eventColumns, "e.position", "x.position", 1), from: "strays x INDEXED BY strays_execution_id CROSS JOIN events e ON e.position = x.position", key: "x.position"}
	strays.where.add("x.execution_id = ? AND x.execution_id <> ''", idOf(id))
	strays.where.join(where)
	all := []branch{strays}
	key, found, err := r.key(ctx, id)
	if err != nil {
		return nil, w, err
	}
	if found {
		b := branch{columns: eventColumns, from: "events e INDEXED BY events_execution", key: "e.position"}
		b.where.add("e.execution = ? AND e.execution <> 0", key)
		b.where.join(where)
		all = append(all, b)
	}
	return all, w, nil
}

// events completes rows with what the file has of them; their bytes are still missing.
func (r *reading) events(ctx context.Context, raw []rawEvent) ([]view.Event, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	born, err := r.tx.PrepareContext(ctx, "SELECT id FROM executions WHERE position = ?")
	if err != nil {
		return nil, err
	}
	stray, err := r.tx.PrepareContext(ctx, "SELECT stream, execution, execution_id FROM strays WHERE position = ?")
	if err != nil {
		return nil, err
	}
	ids := map[int64]string{}
	all := make([]view.Event, len(raw))
	for i, row := range raw {
		e := &all[i]
		e.Position, e.Revision, e.At = domain.Position(row.position), domain.Revision(row.revision), instant(row.at)
		if err := r.resolve(ctx, wordRef{row.kind, &e.Type}, wordRef{row.node, &e.Node}, wordRef{row.function, &e.NodeType},
			wordRef{row.workflow, &e.WorkflowID}); err != nil {
			return nil, err
		}
		if row.execution == 0 {
			var stream string
			var execution int64
			var id any
			if err := stray.QueryRowContext(ctx, row.position).Scan(&stream, &execution, &id); err != nil {
				return nil, missing(err, "a stray event is missing")
			}
			e.Stream, e.Execution, e.ExecutionID = domain.StreamID(stream), domain.Position(execution), idText(id)
			continue
		}
		id, ok := ids[row.execution]
		if !ok {
			var stored any
			if err := born.QueryRowContext(ctx, row.execution).Scan(&stored); err != nil {
				return nil, missing(err, "the execution of an event is missing")
			}
			id = idText(stored)
			ids[row.execution] = id
		}
		e.Execution, e.ExecutionID, e.Stream = domain.Position(row.execution), id, domain.StreamID(runStream+id)
	}
	return all, nil
}

// missing calls the absence of a row that must be there damage.
func missing(err error, message string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return corrupt("read", message)
	}
	return err
}

// fill reads ids and bytes of events from the log: those of one stream by as few calls as there are
// runs of consecutive revisions.
func (v *Views) fill(ctx context.Context, events []view.Event) error {
	byStream := map[domain.StreamID][]*view.Event{}
	var streams []domain.StreamID // in order of appearance, so that reads are the same each time
	for i := range events {
		e := &events[i]
		if byStream[e.Stream] == nil {
			streams = append(streams, e.Stream)
		}
		byStream[e.Stream] = append(byStream[e.Stream], e)
	}
	for _, stream := range streams {
		list := byStream[stream]
		slices.SortFunc(list, func(a, b *view.Event) int { return int(a.Revision - b.Revision) })
		for len(list) > 0 {
			n := 1
			for n < len(list) && list[n].Revision == list[0].Revision+domain.Revision(n) {
				n++
			}
			got, err := v.log.ReadStream(ctx, stream, list[0].Revision, n)
			if errors.Is(err, domain.ErrCorrupt) {
				damage := domain.Wrap(domain.KindCorrupt, "read", "log", err)
				damage.Code = view.CodeLogDamaged
				return damage
			}
			if err != nil && !errors.Is(err, domain.ErrNotFound) {
				return err
			}
			if len(got) == 0 || len(got) > n {
				return corrupt("read", "an event is not in the log")
			}
			for i := range got {
				e := list[i]
				if got[i].Revision != e.Revision || got[i].Position != e.Position || got[i].Type != e.Type {
					return corrupt("read", "an event is another one in the log")
				}
				e.ID, e.Metadata, e.Data = got[i].ID, got[i].Metadata, got[i].Data
			}
			list = list[len(got):]
		}
	}
	return nil
}
