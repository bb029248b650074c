package wire

import (
	"strconv"
	"strings"

	"quipu/domain"
	"quipu/domain/workflow"
)

// Definition gives the stored form of a definition: {"nodes": […], "edges": […]}. The params of
// its nodes stay as written, their holes move along.
func Definition(d workflow.Definition) domain.Value {
	var nodes, edges domain.Array
	for i := range d.Nodes {
		nodes.Add(nodeValue(&d.Nodes[i]))
	}
	for _, e := range d.Edges {
		o := newObject(nil)
		o.str("source", e.Source)
		o.str("target", e.Target)
		o.strOpt("condition", e.Condition)
		edges.Add(domain.Raw(o.done()))
	}
	var o domain.Object
	o.Add("nodes", nodes.Value())
	o.Add("edges", edges.Value())
	return o.Value()
}

func nodeValue(n *workflow.Node) domain.Value {
	var o domain.Object
	text := func(k, v string) {
		if v != "" {
			o.Add(k, domain.Text(v))
		}
	}
	text("name", n.Name)
	text("type", n.Type)
	text("tag", n.Tag)
	text("calls", n.Calls)
	if n.Pure {
		o.Add("pure", domain.Raw([]byte("true")))
	}
	if n.Timer {
		o.Add("timer", domain.Raw([]byte("true")))
	}
	text("waits", n.Waits)
	if n.Templates {
		o.Add("templates", domain.Raw([]byte("true")))
	}
	if n.Timeout > 0 {
		text("timeout", n.Timeout.String())
	}
	if n.Retry != (workflow.Retry{}) {
		r := newObject(nil)
		r.int("attempts", int64(n.Retry.Attempts))
		r.str("initial", n.Retry.Initial.String())
		r.float("factor", n.Retry.Factor)
		r.str("max", n.Retry.Max.String())
		r.float("jitter", n.Retry.Jitter)
		o.Add("retry", domain.Raw(r.done()))
	}
	o.Add("params", n.Params)
	return o.Value()
}

// DecodeDefinition reads what Definition wrote; blobs must be loaded, secrets may be holes. The params
// share v's memory.
// Errors: ErrCorrupt.
func DecodeDefinition(v domain.Value) (workflow.Definition, error) {
	var r reader
	r.reset(v.JSON)
	d := r.definition()
	if err := r.done("decode definition", ""); err != nil {
		return workflow.Definition{}, err
	}
	holes, err := paramsHoles(v.Holes, len(d.Nodes))
	if err != nil {
		return workflow.Definition{}, err
	}
	for i, list := range holes {
		d.Nodes[i].Params.Holes = list
	}
	return d, nil
}

func (r *reader) definition() workflow.Definition {
	d := workflow.Definition{Nodes: []workflow.Node{}}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "nodes":
			for r.Array(); r.Item(); {
				d.Nodes = append(d.Nodes, r.node())
			}
		case "edges":
			d.Edges = []workflow.Edge{}
			for r.Array(); r.Item(); {
				d.Edges = append(d.Edges, r.edge())
			}
		default:
			r.Unknown()
		}
	}
	return d
}

func (r *reader) node() (n workflow.Node) {
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "name":
			n.Name = r.Text()
		case "type":
			n.Type = r.Text()
		case "tag":
			n.Tag = r.Text()
		case "calls":
			n.Calls = r.Text()
		case "pure":
			n.Pure = r.Bool()
		case "timer":
			n.Timer = r.Bool()
		case "waits":
			n.Waits = r.Text()
		case "templates":
			n.Templates = r.Bool()
		case "timeout":
			n.Timeout = r.duration()
		case "retry":
			n.Retry = r.retry()
		case "params":
			n.Params.JSON = r.Raw()
		default:
			r.Unknown()
		}
	}
	return n
}

func (r *reader) retry() (w workflow.Retry) {
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "attempts":
			w.Attempts = r.Int()
		case "initial":
			w.Initial = r.duration()
		case "factor":
			w.Factor = r.Float()
		case "max":
			w.Max = r.duration()
		case "jitter":
			w.Jitter = r.Float()
		default:
			r.Unknown()
		}
	}
	return w
}

func (r *reader) edge() (e workflow.Edge) {
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "source":
			e.Source = r.Text()
		case "target":
			e.Target = r.Text()
		case "condition":
			e.Condition = r.Text()
		default:
			r.Unknown()
		}
	}
	return e
}

// paramsHoles sorts a definition's holes by node, relative to its params. It looks at each hole
// once: fetching each node's params from the whole document is quadratic in a large definition.
func paramsHoles(holes []domain.Hole, nodes int) (map[int][]domain.Hole, error) {
	out := make(map[int][]domain.Hole)
	for _, h := range holes {
		rest, inNodes := strings.CutPrefix(h.At, "/nodes/")
		index, rest, _ := strings.Cut(rest, "/")
		at, inParams := strings.CutPrefix(rest, "params")
		i, err := strconv.Atoi(index)
		if !inNodes || !inParams || at != "" && at[0] != '/' || err != nil || i < 0 || i >= nodes {
			return nil, domain.E(domain.KindCorrupt, "decode definition", "", "a hole stands outside the params of its nodes")
		}
		h.At = at
		out[i] = append(out[i], h)
	}
	return out, nil
}
