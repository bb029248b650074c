package wire

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

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

type nodeJSON struct {
	Name      string          `json:"name"`
	Type      string          `json:"type"`
	Tag       string          `json:"tag"`
	Calls     string          `json:"calls"`
	Pure      bool            `json:"pure"`
	Timer     bool            `json:"timer"`
	Templates bool            `json:"templates"`
	Timeout   duration        `json:"timeout"`
	Retry     retryJSON       `json:"retry"`
	Params    json.RawMessage `json:"params"`
}

type retryJSON struct {
	Attempts int      `json:"attempts"`
	Initial  duration `json:"initial"`
	Factor   float64  `json:"factor"`
	Max      duration `json:"max"`
	Jitter   float64  `json:"jitter"`
}

type duration time.Duration

func (d *duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	*d = duration(v)
	return err
}

type definitionJSON struct {
	Nodes []nodeJSON      `json:"nodes"`
	Edges []workflow.Edge `json:"edges"`
}

// DecodeDefinition reads what Definition wrote; blobs must be loaded, secrets may be holes.
// Errors: ErrCorrupt.
func DecodeDefinition(v domain.Value) (workflow.Definition, error) {
	var w definitionJSON
	if err := strict(v.JSON, &w); err != nil {
		return workflow.Definition{}, domain.Wrap(domain.KindCorrupt, "decode definition", "", err)
	}
	d := workflow.Definition{Edges: w.Edges, Nodes: make([]workflow.Node, len(w.Nodes))}
	holes, err := paramsHoles(v.Holes, len(w.Nodes))
	if err != nil {
		return workflow.Definition{}, err
	}
	for i, n := range w.Nodes {
		params := domain.Value{JSON: n.Params, Holes: holes[i]}
		d.Nodes[i] = workflow.Node{
			Name: n.Name, Type: n.Type, Tag: n.Tag, Calls: n.Calls, Pure: n.Pure, Timer: n.Timer, Templates: n.Templates, Timeout: time.Duration(n.Timeout),
			Retry: workflow.Retry{
				Attempts: n.Retry.Attempts, Initial: time.Duration(n.Retry.Initial), Factor: n.Retry.Factor,
				Max: time.Duration(n.Retry.Max), Jitter: n.Retry.Jitter,
			},
			Params: params,
		}
	}
	return d, nil
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
