package postgres

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"quipu/projections/view"
)

// question builds the two statements of a list: its page, and its total.
//
// Keys are found first, from an index alone, and rows fetched for the page's keys only: so passing over
// rows (offset) stays cheap, and the planner sees that the filter's own index is.
type question struct {
	schema   string
	page     view.Page
	counting bool // for the total: neither key nor limit
	args     args

	table  *table
	keys   []branch // their union; a key is in one branch only
	status string   // replaces the column of this name, if set
}

// branch selects keys from one index.
type branch struct {
	from, key string
	where     []string
}

// of asks for rows of t, whose key is column key.
func (q *question) of(t *table, key string) {
	q.table = t
	q.branch(q.schema+"."+t.name, key)
}

func (q *question) branch(from, key string) *branch {
	q.keys = append(q.keys, branch{from: from, key: key})
	return &q.keys[len(q.keys)-1]
}

// where narrows all branches.
func (q *question) where(conditions ...string) {
	for i := range q.keys {
		q.keys[i].where = append(q.keys[i].where, conditions...)
	}
}

func (q *question) order() string {
	if q.page.Ascending {
		return "ASC"
	}
	return "DESC"
}

// selectSQL selects the keys of a branch, at most limit of them if it is not "".
func (q *question) selectSQL(b *branch, limit string) string {
	where := b.where
	if !q.counting && q.page.Key != 0 && (q.page.Ascending || q.page.Key <= math.MaxInt64) {
		than := " < "
		if q.page.Ascending {
			than = " > "
		}
		where = append(slices.Clone(where), b.key+than+q.args.position(q.page.Key))
	}
	sql := "SELECT " + b.key + " AS key FROM " + b.from
	if len(where) > 0 {
		sql += " WHERE " + strings.Join(where, " AND ")
	}
	if limit == "" {
		return sql
	}
	if !q.counting {
		sql += " ORDER BY " + b.key + " " + q.order()
	}
	return sql + " LIMIT " + limit
}

func (q *question) union(limit string) string {
	if len(q.keys) == 1 {
		return q.selectSQL(&q.keys[0], limit)
	}
	parts := make([]string, len(q.keys))
	for i := range q.keys {
		parts[i] = "(" + q.selectSQL(&q.keys[i], limit) + ")"
	}
	return strings.Join(parts, " UNION ALL ")
}

func (q *question) rowsSQL() string {
	offset := q.args.big(int64(q.page.Offset))
	limit := q.args.big(int64(q.page.Limit) + 1)
	each := q.args.big(int64(q.page.Offset) + int64(q.page.Limit) + 1)
	key := "position"
	columns := q.table.list("r.")
	if q.status != "" {
		columns = strings.Replace(columns, "r.status", q.status, 1)
	}
	return fmt.Sprintf(`SELECT %s FROM (SELECT key FROM (%s) u ORDER BY key %s LIMIT %s OFFSET %s) k
		JOIN %s.%s r ON r.%s = k.key ORDER BY r.%[8]s %[3]s`,
		columns, q.union(each), q.order(), limit, offset, q.schema, q.table.name, key)
}

func (q *question) countSQL() string {
	limit := q.args.big(view.TotalMax + 1)
	return fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM (%s) u LIMIT %s) n", q.union(limit), limit)
}

// equal filters a column of bytes. The index behind it may leave out empty values; saying that this is
// none lets the planner use it.
func (q *question) equal(column, value string) {
	if value != "" {
		q.where(column+" = "+q.args.bytes(value), column+" <> ''")
	}
}

// during filters by instants. Those say nothing about order, so the spans turn them into a range of
// positions first; the instants then decide.
func (q *question) during(key, column string, from, to time.Time) {
	if !from.IsZero() {
		bound := q.args.until(from)
		q.where(fmt.Sprintf("%s >= (SELECT min(s.from_position) FROM %s.spans s WHERE s.max_at >= %s)", key, q.schema, bound),
			column+" >= "+bound)
	}
	if !to.IsZero() {
		bound := q.args.until(to)
		q.where(fmt.Sprintf("%s <= (SELECT max(s.to_position) FROM %s.spans s WHERE s.min_at < %s)", key, q.schema, bound),
			column+" < "+bound)
	}
}

func (q *question) executions(f *view.ExecutionQuery) {
	q.of(&executions, "e.position")
	q.keys[0].from += " e"
	filtered := f.WorkflowID != "" || f.Source != "" || f.FlowName != "" || f.RunName != "" ||
		f.ConnectionID != "" || f.RetryOf != "" || !f.StartedFrom.IsZero() || !f.StartedTo.IsZero()
	var asOf string
	if f.AsOf != 0 {
		asOf = q.args.position(f.AsOf)
		q.status = fmt.Sprintf(`coalesce((SELECT s.status FROM %s.statuses s WHERE s.execution = r.position AND s.from_position <= %[2]s
			AND (s.to_position = 0 OR s.to_position > %[2]s) LIMIT 1), r.status)`, q.schema, asOf)
	}
	switch {
	case f.Status != "":
		// From the intervals of the status: those that last, and in the past those that lasted then.
		q.keys = nil
		var join string
		if filtered {
			join = " JOIN " + q.schema + ".executions e ON e.position = i.execution"
		}
		status := q.args.bytes(string(f.Status))
		open := q.branch(q.schema+".statuses i"+join, "i.execution")
		open.where = append(open.where, "i.status = "+status, "i.to_position = 0")
		if f.AsOf != 0 {
			// No interval begins before its execution: the bound on that begins the list at its place.
			open.where = append(open.where, "i.execution <= "+asOf, "i.from_position <= "+asOf)
			// Those that have ended since are found by their end; OFFSET keeps the planner from walking
			// all executions in order instead, which it thinks is shorter.
			q.branch(fmt.Sprintf(`(SELECT execution FROM %s.statuses WHERE status = %s AND to_position <> 0 AND to_position > %s
				AND from_position <= %[3]s OFFSET 0) i%s`, q.schema, status, asOf, join), "i.execution")
		}
	case f.AsOf != 0:
		q.where("e.position <= " + asOf)
	}
	q.equal("e.workflow_id", f.WorkflowID)
	q.equal("e.source", f.Source)
	q.equal("e.flow_name", f.FlowName)
	q.equal("e.run_name", f.RunName)
	q.equal("e.connection_id", f.ConnectionID)
	q.equal("e.retry_of", f.RetryOf)
	q.during("e.position", "e.started_at", f.StartedFrom, f.StartedTo)
}

func (q *question) approvals(f *view.ApprovalQuery) {
	q.of(&approvals, "position")
	q.equal("execution_id", f.ExecutionID)
	q.equal("workflow_id", f.WorkflowID)
	if f.Status != "" {
		q.where("status = " + q.args.bytes(string(f.Status)))
	}
}

func (q *question) events(f *view.EventQuery) {
	q.of(&events, "e.position")
	q.keys[0].from += " e"
	if len(f.Types) > 0 {
		// One branch for each type: each is in order by itself.
		from := q.keys[0].from
		q.keys = nil
		types := slices.Clone(f.Types)
		slices.Sort(types)
		for _, t := range slices.Compact(types) {
			b := q.branch(from, "e.position")
			b.where = append(b.where, "e.type = "+q.args.bytes(t))
		}
	}
	q.equal("e.execution_id", f.ExecutionID)
	q.equal("e.workflow_id", f.WorkflowID)
	q.equal("e.node", f.Node)
	if f.After != 0 {
		q.where("e.position > " + q.args.position(f.After))
	}
	if f.Before != 0 && f.Before <= math.MaxInt64 {
		q.where("e.position < " + q.args.position(f.Before))
	}
	q.during("e.position", "e.at", f.From, f.To)
}

func (q *question) workflows(f *view.WorkflowQuery) {
	q.of(&workflows, "position")
	q.where("NOT deleted")
	if f.Endpoint != "" {
		q.where("endpoint = " + q.args.bytes(f.Endpoint))
	}
	if f.Name != "" {
		q.where("name = " + q.args.bytes(f.Name))
	}
}
