package postgres

import (
	"fmt"
	"strings"

	"quipu/domain"
	"quipu/projections/view"
)

// column is one column of a table, in the order in which rows write and read it.
type column struct {
	name string
	kind kind
}

// table says how rows of one type are written and read. The layout itself is in layout.sql.
type table struct {
	name    string
	columns []column
	key     string   // of ON CONFLICT
	fixed   []string // columns that keep the value of the first row
}

var (
	executions = table{
		name: "executions", key: "position",
		columns: columns(`position:big id:bytes workflow_id:bytes workflow_version:big source:bytes endpoint:bytes
			flow_name:bytes run_name:bytes connection_id:bytes retry_of:bytes status:bytes status_since:big started_at:instant ended_at:instant input:bytes
			input_holes:bytes current_node:bytes failed_task:bytes error_type:bytes error_code:bytes
			error_message:bytes last_offset:big last_position:big tasks_total:int tasks_started:int
			tasks_completed:int tasks_failed:int tasks_skipped:int attempts:int`),
		fixed: strings.Fields(`id workflow_id workflow_version source endpoint flow_name run_name connection_id retry_of started_at input input_holes`),
	}
	statuses = table{
		name: "statuses", key: "execution, from_position",
		columns: columns(`execution:big from_position:big status:bytes to_position:big`),
	}
	tasks = table{
		name: "tasks", key: "execution, task, iteration",
		columns: columns(`execution:big task:bytes iteration:int task_id:bytes function:bytes status:bytes attempts:int
			started_at:instant ended_at:instant started_offset:big ended_offset:big error_type:bytes
			error_code:bytes error_message:bytes wait:bytes channel:bytes due_at:instant wait_since:big`),
	}
	approvals = table{
		name: "approvals", key: "position",
		columns: columns(`position:big execution:big execution_id:bytes workflow_id:bytes task:bytes iteration:int task_id:bytes
			asked_offset:big request:bytes request_holes:bytes requested_at:instant due_at:instant status:bytes
			approver:bytes comment:bytes actor_kind:bytes actor_id:bytes ended_at:instant ended_offset:big`),
		fixed: strings.Fields(`execution execution_id workflow_id task iteration task_id asked_offset request request_holes requested_at due_at`),
	}
	events = table{
		name: "events", key: "position",
		columns: columns(`position:big execution:big revision:big at:instant id:uuid stream:bytes type:bytes
			execution_id:bytes workflow_id:bytes node:bytes node_type:bytes metadata:bytes data:bytes`),
	}
	workflows = table{
		name: "workflows", key: "id",
		columns: columns(`position:big id:bytes name:bytes description:bytes endpoint:bytes version:big graph:bytes
			graph_holes:bytes created_at:instant updated_at:instant deleted:bool last_position:big`),
	}
	versions = table{
		name: "workflow_versions", key: "workflow_id, version",
		columns: columns(`position:big workflow_id:bytes version:big name:bytes description:bytes endpoint:bytes
			graph:bytes graph_holes:bytes at:instant`),
	}
	names = table{
		name: "names", key: "flow_name, run_name",
		columns: columns(`flow_name:bytes run_name:bytes execution_id:bytes position:big revision:big`),
	}
	endpoints = table{
		name: "endpoints", key: "id",
		columns: columns(`position:big id:bytes slug:bytes created_at:instant`),
	}
	parked = table{
		name: "parked", key: "position, projector",
		columns: columns(`position:big projector:bytes stream:bytes revision:big type:bytes reason:bytes`),
	}
	spans = table{
		name: "spans", key: "from_position",
		columns: columns(`from_position:big to_position:big events:big min_at:instant max_at:instant`),
	}
)

func columns(s string) (out []column) {
	kinds := map[string]kind{
		"bool": kindBool, "bytes": kindBytes, "big": kindBig, "int": kindInt, "text": kindText,
		"instant": kindInstant, "uuid": kindUUID,
	}
	for field := range strings.FieldsSeq(s) {
		name, k, _ := strings.Cut(field, ":")
		out = append(out, column{name, kinds[k]})
	}
	return out
}

func (t *table) kinds() []kind {
	out := make([]kind, len(t.columns))
	for i, c := range t.columns {
		out[i] = c.kind
	}
	return out
}

// list names the columns, each behind prefix.
func (t *table) list(prefix string) string {
	var b strings.Builder
	for i, c := range t.columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(prefix + c.name)
	}
	return b.String()
}

// copySQL takes rows from a COPY.
func (t *table) copySQL(schema string) string {
	return fmt.Sprintf("COPY %s.%s (%s) FROM STDIN BINARY", schema, t.name, t.list(""))
}

// upsertSQL takes rows from one array for each column; set says what becomes of those that exist.
func (t *table) upsertSQL(schema string) string {
	var arrays, set strings.Builder
	for i, c := range t.columns {
		if i > 0 {
			arrays.WriteString(", ")
		}
		fmt.Fprintf(&arrays, "$%d::%s[]", i+1, c.kind.name())
		if t.keeps(c.name) {
			continue
		}
		if set.Len() > 0 {
			set.WriteString(", ")
		}
		// A span only ever grows, also if somebody else widened it since we read it.
		switch {
		case t == &spans && c.name == "min_at":
			set.WriteString("min_at = least(was.min_at, excluded.min_at)")
		case t == &spans && (c.name == "max_at" || c.name == "to_position"):
			set.WriteString(c.name + " = greatest(was." + c.name + ", excluded." + c.name + ")")
		default:
			set.WriteString(c.name + " = excluded." + c.name)
		}
	}
	return fmt.Sprintf("INSERT INTO %s.%s AS was (%s) SELECT * FROM unnest(%s) ON CONFLICT (%s) DO UPDATE SET %s",
		schema, t.name, t.list(""), arrays.String(), t.key, set.String())
}

// insertSQL takes new rows from one array for each column.
func (t *table) insertSQL(schema string) string {
	sql, _, _ := strings.Cut(t.upsertSQL(schema), " ON CONFLICT ")
	return sql
}

func (t *table) keeps(name string) bool {
	for _, key := range strings.Split(t.key, ", ") {
		if key == name {
			return true
		}
	}
	for _, fixed := range t.fixed {
		if fixed == name {
			return true
		}
	}
	return false
}

func (r *rows) execution(e *view.Execution) {
	r.begin()
	r.position(e.Position)
	r.text(e.ID)
	r.text(e.WorkflowID)
	r.big(int64(e.WorkflowVersion))
	r.text(e.Source)
	r.text(e.Endpoint)
	r.text(e.FlowName)
	r.text(e.RunName)
	r.text(e.ConnectionID)
	r.text(e.RetryOf)
	r.text(string(e.Status))
	r.position(e.StatusSince)
	r.instant(e.StartedAt)
	r.end(e.EndedAt)
	r.value(e.Input)
	r.text(e.CurrentNode)
	r.text(e.FailedTask)
	r.failure(&e.Error)
	r.big(int64(e.LastOffset))
	r.position(e.LastPosition)
	r.int(e.Tasks.Total)
	r.int(e.Tasks.Started)
	r.int(e.Tasks.Completed)
	r.int(e.Tasks.Failed)
	r.int(e.Tasks.Skipped)
	r.int(e.Tasks.Attempts)
}

func (r *record) execution() view.Execution {
	e := view.Execution{
		Position: r.position(), ID: r.text(), WorkflowID: r.text(), WorkflowVersion: int(r.big()),
		Source: r.text(), Endpoint: r.text(), FlowName: r.text(), RunName: r.text(),
		ConnectionID: r.text(), RetryOf: r.text(), Status: view.Status(r.text()), StatusSince: r.position(), StartedAt: r.instant(), EndedAt: r.instant(), Input: r.value(),
		CurrentNode: r.text(), FailedTask: r.text(), Error: r.failure(),
	}
	e.LastOffset, e.LastPosition = revision(r.big()), r.position()
	e.Tasks = view.TaskCounts{
		Total: r.int(), Started: r.int(), Completed: r.int(), Failed: r.int(), Skipped: r.int(), Attempts: r.int(),
	}
	return e
}

func (r *rows) failure(e *view.Error) {
	r.text(e.Type)
	r.text(e.Code)
	r.text(e.Message)
}

func (r *rows) status(i *view.StatusInterval) {
	r.begin()
	r.position(i.Execution)
	r.position(i.From)
	r.text(string(i.Status))
	r.position(i.To)
}

func (r *record) status() view.StatusInterval {
	return view.StatusInterval{Execution: r.position(), From: r.position(), Status: view.Status(r.text()), To: r.position()}
}

func (r *rows) task(t *view.Task) {
	r.begin()
	r.position(t.Execution)
	r.text(t.Task)
	r.int(t.Iteration)
	r.text(t.TaskID)
	r.text(t.Function)
	r.text(string(t.Status))
	r.int(t.Attempts)
	r.end(t.StartedAt)
	r.end(t.EndedAt)
	r.big(int64(t.StartedOffset))
	r.big(int64(t.EndedOffset))
	r.failure(&t.Error)
	r.text(string(t.Wait.Kind))
	r.text(t.Wait.Channel)
	r.end(t.Wait.DueAt)
	r.position(t.Wait.Since)
}

func (r *record) task() view.Task {
	return view.Task{
		Execution: r.position(), Task: r.text(), Iteration: r.int(), TaskID: r.text(), Function: r.text(),
		Status: view.Status(r.text()), Attempts: r.int(), StartedAt: r.instant(), EndedAt: r.instant(),
		StartedOffset: revision(r.big()), EndedOffset: revision(r.big()), Error: r.failure(),
		Wait: view.Wait{Kind: view.WaitKind(r.text()), Channel: r.text(), DueAt: r.instant(), Since: r.position()},
	}
}

func (r *rows) approval(a *view.Approval) {
	r.begin()
	r.position(a.Position)
	r.position(a.Execution)
	r.text(a.ExecutionID)
	r.text(a.WorkflowID)
	r.text(a.Task)
	r.int(a.Iteration)
	r.text(a.TaskID)
	r.big(int64(a.Offset))
	r.value(a.Request)
	r.end(a.RequestedAt)
	r.end(a.DueAt)
	r.text(string(a.Status))
	r.text(a.Approver)
	r.text(a.Comment)
	r.text(a.ActorKind)
	r.text(a.ActorID)
	r.end(a.EndedAt)
	r.big(int64(a.EndedOffset))
}

func (r *record) approval() view.Approval {
	return view.Approval{
		Position: r.position(), Execution: r.position(), ExecutionID: r.text(), WorkflowID: r.text(),
		Task: r.text(), Iteration: r.int(), TaskID: r.text(), Offset: revision(r.big()), Request: r.value(),
		RequestedAt: r.instant(), DueAt: r.instant(), Status: view.ApprovalStatus(r.text()), Approver: r.text(), Comment: r.text(),
		ActorKind: r.text(), ActorID: r.text(), EndedAt: r.instant(), EndedOffset: revision(r.big()),
	}
}

func (r *rows) event(e *view.Event) {
	r.begin()
	r.position(e.Position)
	r.position(e.Execution)
	r.big(int64(e.Revision))
	r.instant(e.At)
	r.uuid(e.ID)
	r.text(string(e.Stream))
	r.text(e.Type)
	r.text(e.ExecutionID)
	r.text(e.WorkflowID)
	r.text(e.Node)
	r.text(e.NodeType)
	r.bytes(e.Metadata)
	r.bytes(e.Data)
}

func (r *record) event() (e view.Event) {
	e.Position, e.Execution, e.Revision = r.position(), r.position(), revision(r.big())
	e.At, e.ID, e.Stream, e.Type = r.instant(), r.uuid(), stream(r.text()), r.text()
	e.ExecutionID, e.WorkflowID, e.Node, e.NodeType = r.text(), r.text(), r.text(), r.text()
	e.Metadata, e.Data = r.bytes(), r.bytes()
	return e
}

func (r *rows) workflow(w *view.Workflow) {
	r.begin()
	r.position(w.Position)
	r.text(w.ID)
	r.text(w.Name)
	r.text(w.Description)
	r.text(w.Endpoint)
	r.big(int64(w.Version))
	r.value(w.Graph)
	r.instant(w.CreatedAt)
	r.instant(w.UpdatedAt)
	r.bool(w.Deleted)
	r.position(w.LastPosition)
}

func (r *record) workflow() view.Workflow {
	return view.Workflow{
		Position: r.position(), ID: r.text(), Name: r.text(), Description: r.text(), Endpoint: r.text(),
		Version: int(r.big()), Graph: r.value(), CreatedAt: r.instant(), UpdatedAt: r.instant(),
		Deleted: r.bool(), LastPosition: r.position(),
	}
}

func (r *rows) version(v *view.WorkflowVersion) {
	r.begin()
	r.position(v.Position)
	r.text(v.WorkflowID)
	r.big(int64(v.Version))
	r.text(v.Name)
	r.text(v.Description)
	r.text(v.Endpoint)
	r.value(v.Graph)
	r.instant(v.At)
}

func (r *record) version() view.WorkflowVersion {
	return view.WorkflowVersion{
		Position: r.position(), WorkflowID: r.text(), Version: int(r.big()), Name: r.text(),
		Description: r.text(), Endpoint: r.text(), Graph: r.value(), At: r.instant(),
	}
}

func (r *rows) name(n *view.Name) {
	r.begin()
	r.text(n.FlowName)
	r.text(n.RunName)
	r.text(n.ExecutionID)
	r.position(n.Position)
	r.big(int64(n.Offset))
}

func (r *record) name() view.Name {
	return view.Name{
		FlowName: r.text(), RunName: r.text(), ExecutionID: r.text(), Position: r.position(), Offset: revision(r.big()),
	}
}

func (r *rows) endpoint(e *view.Endpoint) {
	r.begin()
	r.position(e.Position)
	r.text(e.ID)
	r.text(e.Slug)
	r.instant(e.CreatedAt)
}

func (r *record) endpoint() view.Endpoint {
	return view.Endpoint{Position: r.position(), ID: r.text(), Slug: r.text(), CreatedAt: r.instant()}
}

func (r *rows) park(p *view.Parked) {
	r.begin()
	r.position(p.Position)
	r.text(p.Projector)
	r.text(string(p.Stream))
	r.big(int64(p.Revision))
	r.text(p.Type)
	r.text(p.Reason)
}

func (r *record) park() view.Parked {
	return view.Parked{
		Position: r.position(), Projector: r.text(), Stream: stream(r.text()), Revision: revision(r.big()),
		Type: r.text(), Reason: r.text(),
	}
}

func revision(v int64) domain.Revision { return domain.Revision(v) }

func stream(s string) domain.StreamID { return domain.StreamID(s) }
