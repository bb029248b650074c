package definition

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"quipu/commands/expression"
	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/workflow"
)

// The types that the rules of a runnable graph speak of (contract C.2).
const (
	typeTrigger     = "trigger"
	typeEnd         = "end"
	typeMerge       = "merge"
	typeAPICall     = "api_call"
	typeConditional = "conditional"
	typeAgent       = "agent"
	typeRouter      = "gpt_router"
)

// Definition translates the graph into what a run executes, and tells all that keeps it from
// running, with pointers relative to the graph: no trigger or end, a node that nothing leads to, an
// edge to nowhere, a merge of less than two, a node without what its type needs, a cycle. With
// faults the definition is of no use.
//
// A task is called as its node. Every node has the trait Templates. An edge gates by its condition
// or, where it leaves a conditional node, by its sourceHandle. The agents and calls of this API
// answer with full objects, and a call without a method is a POST (contract C.3).
func (g *Graph) Definition() (workflow.Definition, []node.Fault) {
	var f Faults
	d := workflow.Definition{Nodes: make([]workflow.Node, 0, len(g.nodes)), Edges: make([]workflow.Edge, 0, len(g.edges))}
	known := make(map[string]int, len(g.nodes))
	for i := range g.nodes {
		n := &g.nodes[i]
		switch _, twice := known[n.id]; {
		case n.id == "":
			f.Add(n.at+"/id", "is missing; give the node an id")
		case twice:
			f.Add(n.at+"/id", "%q is the id of two nodes; ids must differ", rawjson.Clip(n.id))
		default:
			known[n.id] = len(d.Nodes)
			d.Nodes = append(d.Nodes, g.task(n, &f))
		}
	}
	incoming := g.arcs(&d, known, &f)
	g.shape(incoming, &f)
	if len(d.Nodes) > 0 {
		if _, err := workflow.Compile(d, nil); err != nil {
			g.relocate(err, d.Nodes, &f)
		}
	}
	return d, f.List
}

// task translates one node.
func (g *Graph) task(n *vertex, f *Faults) workflow.Node {
	out := workflow.Node{Name: n.id, Tag: n.label, Templates: true, Params: domain.Raw(n.withDefaults())}
	if n.typ == nil {
		f.Add(n.at+"/type", "%q is no node type of this server", rawjson.Clip(n.function))
		out.Type = n.function
		return out
	}
	Traits(&out, n.typ, func(pointer, format string, args ...any) {
		f.Add(n.configAt+strings.TrimPrefix(pointer, "/config"), format, args...)
	})
	n.needs(f)
	return out
}

// withDefaults are the params with what this API sets where the config says nothing.
func (n *vertex) withDefaults() []byte {
	var more []rawjson.Member
	set := func(key, value string) {
		if _, has := rawjson.Get(n.config, "/"+key); !has {
			more = append(more, rawjson.Member{Key: key, Value: []byte(value)})
		}
	}
	switch n.function {
	case typeAPICall:
		if _, mapped := rawjson.Get(n.config, "/mapping"); mapped {
			return n.mappedDefaults()
		}
		set("method", `"POST"`)
		set("output", `"full"`)
	case typeAgent:
		set("output", `"full"`)
	}
	if len(more) == 0 {
		return n.params()
	}
	return paramsOf(append(rawjson.Members(n.config), more...))
}

// mappedDefaults are the params of a call whose fields are mapped: its own settings stand in
// config.default, since config.output is the output that is mapped.
func (n *vertex) mappedDefaults() []byte {
	given, has := rawjson.Get(n.config, "/default")
	if has && rawjson.KindOf(given) != rawjson.Object && rawjson.KindOf(given) != rawjson.Null {
		return n.params() // a fault already, or a template
	}
	settings := rawjson.Members(given)
	if _, set := rawjson.Get(given, "/output"); !set {
		settings = append(settings, rawjson.Member{Key: "output", Value: []byte(`"full"`)})
	}
	_, inDefault := rawjson.Get(given, "/method")
	if _, inConfig := rawjson.Get(n.config, "/method"); !inConfig && !inDefault {
		settings = append(settings, rawjson.Member{Key: "method", Value: []byte(`"POST"`)})
	}
	members := rawjson.Members(n.config)
	for i := range members {
		if members[i].Key == "default" {
			members[i].Value = objectOf(settings).JSON
			return paramsOf(members)
		}
	}
	return paramsOf(append(members, rawjson.Member{Key: "default", Value: objectOf(settings).JSON}))
}

func objectOf(members []rawjson.Member) domain.Value {
	var o domain.Object
	for _, m := range members {
		o.Add(m.Key, domain.Raw(m.Value))
	}
	return o.Value()
}

// paramsOf are the params of a task with a config of these members.
func paramsOf(config []rawjson.Member) []byte {
	var params domain.Object
	params.Add("config", objectOf(config))
	return params.Value().JSON
}

// needs reports what the node's type cannot do without.
func (n *vertex) needs(f *Faults) {
	switch n.function {
	case typeAPICall:
		_, direct := rawjson.Get(n.config, "/url")
		if _, mapped := rawjson.Get(n.config, "/default/url"); !direct && !mapped {
			f.Add(n.configAt+"/url", "is required")
		}
	case typeConditional:
		raw, has := rawjson.Get(n.config, "/condition_expression")
		at := n.configAt + "/condition_expression"
		switch {
		case !has || rawjson.KindOf(raw) != rawjson.String:
			f.Add(at, "is required, as a string")
		case !holdsTemplate(raw):
			if _, err := expression.Compile(rawjson.Unquote(rawjson.Trim(raw))); err != nil {
				f.Add(at, "%s", err)
			}
		}
	}
}

// arcs translates the edges and returns the distinct nodes that lead to each.
func (g *Graph) arcs(d *workflow.Definition, known map[string]int, f *Faults) map[string]map[string]bool {
	incoming := map[string]map[string]bool{}
	for _, e := range g.edges {
		_, from := known[e.source]
		_, to := known[e.target]
		if !from {
			f.Add(e.at+"/source", "names %q, which is no node", rawjson.Clip(e.source))
		}
		if !to {
			f.Add(e.at+"/target", "names %q, which is no node", rawjson.Clip(e.target))
		}
		if !from || !to {
			continue
		}
		if incoming[e.target] == nil {
			incoming[e.target] = map[string]bool{}
		}
		incoming[e.target][e.source] = true
		if e.source == e.target {
			f.Add(e.at, "leads from node %q to itself", rawjson.Clip(e.source))
			continue
		}
		d.Edges = append(d.Edges, workflow.Edge{Source: e.source, Target: e.target, Condition: e.condition})
	}
	return incoming
}

// shape reports what the graph as a whole lacks.
func (g *Graph) shape(incoming map[string]map[string]bool, f *Faults) {
	has := map[string]bool{}
	for i := range g.nodes {
		n := &g.nodes[i]
		has[n.function] = true
		switch sources := len(incoming[n.id]); {
		case n.id == "" || n.function == typeTrigger:
		case sources == 0:
			f.Add(n.at, "node %q has no incoming edge; lead one to it or make it a trigger", rawjson.Clip(n.id))
		case n.function == typeMerge && sources < 2:
			f.Add(n.at, "node %q merges %d branch, it needs at least 2 incoming edges", rawjson.Clip(n.id), sources)
		}
	}
	switch {
	case !has[typeTrigger] && !has[typeEnd]:
		f.Add("/nodes", "has no trigger and no end node; add one of each")
	case !has[typeTrigger]:
		f.Add("/nodes", "has no trigger node; add one")
	case !has[typeEnd]:
		f.Add("/nodes", "has no end node; add one")
	}
}

// relocate notes a fault of the compiled graph at its place in the client's. Edges have been looked
// at, so what Compile says about all tasks is that they go round in a circle.
func (g *Graph) relocate(err error, names []workflow.Node, f *Faults) {
	var e *domain.Error
	if !errors.As(err, &e) {
		f.Add("/edges", "%s", err)
		return
	}
	rest, inTask := strings.CutPrefix(e.Field, "/tasks/")
	index, rest, _ := strings.Cut(rest, "/")
	i, notOne := strconv.Atoi(index)
	if !inTask || notOne != nil || i >= len(names) {
		f.Add("/edges", "%s", strings.Replace(e.Message, "depend on each other", "make nodes depend on each other", 1))
		return
	}
	for j := range g.nodes {
		if n := &g.nodes[j]; n.id == names[i].Name {
			at := n.at
			if below, inConfig := strings.CutPrefix(rest, "params/config"); inConfig {
				at = n.configAt + below
			}
			f.Add(at, "%s", e.Message)
			return
		}
	}
}

// Texts are the faults as sentences, for clients that show nothing else.
func (g *Graph) Texts(faults []node.Fault) []string {
	out := make([]string, len(faults))
	for i, f := range faults {
		out[i] = strings.TrimPrefix(f.Pointer, "/") + ": " + f.Message
		for j := range g.nodes {
			n := &g.nodes[j]
			if rest, below := strings.CutPrefix(f.Pointer, n.configAt+"/"); below {
				out[i] = fmt.Sprintf("node %q: %s %s", rawjson.Clip(n.id), rest, f.Message)
			}
		}
	}
	return out
}
