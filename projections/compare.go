package projections

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"time"

	"quipu/domain"
	"quipu/projections/view"
)

// Difference is one field of one row in which the views and the fold of the log differ. A row that one
// side lacks is one difference without a field.
type Difference struct {
	Table string `json:"table"`
	Key   string `json:"key"`
	Field string `json:"field,omitempty"`
	View  string `json:"view"` // what the views say, "absent" if they lack the row
	Log   string `json:"log"`  // what the log says, likewise
}

// String renders a difference as a line.
func (d Difference) String() string {
	where := d.Table + " " + d.Key
	if d.Field != "" {
		where += " " + d.Field
	}
	return where + ": the views say " + d.View + ", the log says " + d.Log
}

// absent stands for a row that is not there.
const absent = "absent"

// shownBytesMax bounds each side of a difference.
const shownBytesMax = 200

// comparison walks two snapshots side by side.
type comparison struct {
	found func(Difference)
	row   func()
}

// run compares all tables. Errors: those of reading either side.
func (c comparison) run(ctx context.Context, views, log Snapshot) error {
	steps := []func() error{
		func() error {
			return merge(c, "executions", views.Executions(ctx), log.Executions(ctx), func(a, b *view.Execution) int { return cmp.Compare(a.Position, b.Position) },
				func(r *view.Execution) string { return fmt.Sprintf("%d (%s)", r.Position, r.ID) }, nil)
		},
		func() error {
			return merge(c, "statuses", views.Statuses(ctx), log.Statuses(ctx), func(a, b *view.StatusInterval) int {
				return cmp.Or(cmp.Compare(a.Execution, b.Execution), cmp.Compare(a.From, b.From))
			}, func(r *view.StatusInterval) string { return fmt.Sprintf("%d from %d", r.Execution, r.From) }, func(a, b *view.StatusInterval) bool { return *a == *b })
		},
		func() error {
			return merge(c, "tasks", views.Tasks(ctx), log.Tasks(ctx), func(a, b *view.Task) int {
				return cmp.Or(cmp.Compare(a.Execution, b.Execution), strings.Compare(a.Task, b.Task), cmp.Compare(a.Iteration, b.Iteration))
			}, func(r *view.Task) string { return fmt.Sprintf("%d %.100q %d", r.Execution, r.Task, r.Iteration) }, nil)
		},
		func() error {
			return merge(c, "approvals", views.Approvals(ctx), log.Approvals(ctx), func(a, b *view.Approval) int { return cmp.Compare(a.Position, b.Position) },
				func(r *view.Approval) string { return fmt.Sprintf("%d (%s)", r.Position, r.ExecutionID) }, nil)
		},
		func() error {
			return merge(c, "events", views.Events(ctx), log.Events(ctx), func(a, b *view.Event) int { return cmp.Compare(a.Position, b.Position) },
				func(r *view.Event) string { return fmt.Sprint(r.Position) }, sameEvent)
		},
		func() error {
			return merge(c, "workflows", views.Workflows(ctx), log.Workflows(ctx), func(a, b *view.Workflow) int { return cmp.Compare(a.Position, b.Position) },
				func(r *view.Workflow) string { return fmt.Sprintf("%d (%s)", r.Position, r.ID) }, nil)
		},
		func() error {
			return merge(c, "workflow_versions", views.WorkflowVersions(ctx), log.WorkflowVersions(ctx), func(a, b *view.WorkflowVersion) int {
				return cmp.Or(strings.Compare(a.WorkflowID, b.WorkflowID), cmp.Compare(a.Version, b.Version))
			}, func(r *view.WorkflowVersion) string { return fmt.Sprintf("%s version %d", r.WorkflowID, r.Version) }, nil)
		},
		func() error {
			return merge(c, "names", views.Names(ctx), log.Names(ctx), func(a, b *view.Name) int {
				return cmp.Or(strings.Compare(a.FlowName, b.FlowName), strings.Compare(a.RunName, b.RunName))
			}, func(r *view.Name) string { return fmt.Sprintf("%.100q %.100q", r.FlowName, r.RunName) }, func(a, b *view.Name) bool { return *a == *b })
		},
		func() error {
			return merge(c, "endpoints", views.Endpoints(ctx), log.Endpoints(ctx), func(a, b *view.Endpoint) int { return strings.Compare(a.ID, b.ID) },
				func(r *view.Endpoint) string { return r.ID }, nil)
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// merge walks two sequences in order of one key. same, if given, is a quick look for equality.
func merge[Row any](c comparison, table string, views, log iter.Seq2[Row, error], order func(a, b *Row) int, key func(*Row) string, same func(a, b *Row) bool) error {
	nextView, stopViews := iter.Pull2(views)
	defer stopViews()
	nextLog, stopLog := iter.Pull2(log)
	defer stopLog()
	v, errV, okV := nextView()
	l, errL, okL := nextLog()
	for okV || okL {
		if okV && errV != nil {
			return errV
		}
		if okL && errL != nil {
			return errL
		}
		c.row()
		side := 0
		switch {
		case !okL:
			side = -1
		case !okV:
			side = 1
		default:
			side = order(&v, &l)
		}
		switch {
		case side < 0:
			c.found(Difference{Table: table, Key: key(&v), View: "present", Log: absent})
		case side > 0:
			c.found(Difference{Table: table, Key: key(&l), View: absent, Log: "present"})
		case same == nil || !same(&v, &l):
			diffFields(reflect.ValueOf(&v).Elem(), reflect.ValueOf(&l).Elem(), "", func(field, view, log string) {
				c.found(Difference{Table: table, Key: key(&v), Field: field, View: view, Log: log})
			})
		}
		if side <= 0 {
			v, errV, okV = nextView()
		}
		if side >= 0 {
			l, errL, okL = nextLog()
		}
	}
	return nil
}

func sameEvent(a, b *view.Event) bool {
	return a.Stream == b.Stream && a.Revision == b.Revision && a.Position == b.Position && a.ID == b.ID && a.Type == b.Type &&
		a.At.Equal(b.At) && a.Execution == b.Execution && a.ExecutionID == b.ExecutionID && a.WorkflowID == b.WorkflowID && a.Node == b.Node && a.NodeType == b.NodeType &&
		bytes.Equal(a.Metadata, b.Metadata) && bytes.Equal(a.Data, b.Data)
}

var (
	typeTime  = reflect.TypeFor[time.Time]()
	typeValue = reflect.TypeFor[domain.Value]()
	typeBytes = reflect.TypeFor[[]byte]()
	typeID    = reflect.TypeFor[domain.EventID]()
)

// diffFields tells of each field in which two rows differ.
func diffFields(a, b reflect.Value, path string, found func(field, view, log string)) {
	differ := func(same bool, show func(reflect.Value) string) {
		if !same {
			found(path, cleanText(show(a), shownBytesMax), cleanText(show(b), shownBytesMax))
		}
	}
	switch a.Type() {
	case typeTime:
		x, y := a.Interface().(time.Time), b.Interface().(time.Time)
		differ(x.Equal(y), func(v reflect.Value) string { return v.Interface().(time.Time).UTC().Format(domain.TimeLayout) })
		return
	case typeValue:
		x, y := a.Interface().(domain.Value), b.Interface().(domain.Value)
		same := bytes.Equal(x.JSON, y.JSON) && x.Absent() == y.Absent() && slices.Equal(x.Holes, y.Holes)
		differ(same, showValue)
		return
	case typeBytes:
		differ(bytes.Equal(a.Bytes(), b.Bytes()), func(v reflect.Value) string { return fmt.Sprintf("%d bytes with hash %x", v.Len(), hashOf(v.Bytes())) })
		return
	case typeID:
		differ(a.Interface() == b.Interface(), func(v reflect.Value) string { return v.Interface().(domain.EventID).String() })
		return
	}
	if a.Kind() != reflect.Struct {
		differ(a.Equal(b), func(v reflect.Value) string { return fmt.Sprintf("%v", v.Interface()) })
		return
	}
	for i := range a.NumField() {
		name := a.Type().Field(i).Name
		switch {
		case a.Type().Field(i).Anonymous:
			name = path
		case path != "":
			name = path + "." + name
		}
		diffFields(a.Field(i), b.Field(i), name, found)
	}
}

// showValue tells two payloads apart without showing them: they may be large, and differences are
// printed.
func showValue(v reflect.Value) string {
	value := v.Interface().(domain.Value)
	if value.Absent() {
		return absent
	}
	return fmt.Sprintf("%d bytes with %d holes and hash %x", len(value.JSON), len(value.Holes), hashOf(value.JSON))
}

func hashOf(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:8]
}
