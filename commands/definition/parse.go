package definition

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"quipu/commands/expression"
	"quipu/commands/node"
	"quipu/commands/sealing"
	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/workflow"
)

// depthMax leaves room for what a run's definition nests around a node's config.
const depthMax = domain.JSONDepthMax - 1

// EdgesMax is the most edges in one definition.
const EdgesMax = 50_000

// Graph is a graph that Parse has read.
type Graph struct {
	// Raw is the object as the client wrote it; nodes and edges are in it, edges possibly as added
	// by Parse.
	Raw   []byte
	nodes []vertex
	edges []arc
}

// vertex is one node as read.
type vertex struct {
	at, id   string
	function string // the type as written, "" if there is none
	typ      *node.Type
	label    string
	config   json.RawMessage
	configAt string
}

// arc is one edge as read.
type arc struct {
	at, source, target, condition, handle string
}

// handles are the branches that a type's outgoing edges may name by sourceHandle (contract C.2).
var handles = map[string][]string{
	"conditional":           {"true", "false"},
	"gpt_conditional_block": {"true", "false"},
	"approval":              {"approve", "reject"},
}

// namesBranch reports whether text names a branch of a type.
func namesBranch(function, text string) bool {
	for _, h := range handles[function] {
		if h == text {
			return true
		}
	}
	return false
}

// Parse reads a graph. raw is kept. With faults, whose pointers
// are relative to raw, the graph holds what could be read.
//
// A node's type is node.type or node.data.type, its config node.data.config or node.config. Without
// edges an empty list is added, so that clients always find one.
func Parse(raw []byte, registry *node.Registry) (*Graph, []node.Fault) {
	g := &Graph{Raw: raw}
	var f Faults
	var syntax *rawjson.SyntaxError
	switch err := rawjson.Check(raw, depthMax); {
	case errors.As(err, &syntax):
		f.Add(syntax.Pointer, "is not acceptable JSON: %s", syntax.Reason)
		return g, f.List
	case rawjson.KindOf(raw) != rawjson.Object:
		f.Add("", "must be an object with nodes and edges")
		return g, f.List
	}
	p := parser{faults: &f, registry: registry}
	nodes, edges := domain.Value{}, domain.Value{}
	members := domain.Raw(raw).Members()
	for _, m := range members {
		switch m.Key {
		case "nodes":
			nodes = m.Value
		case "edges":
			edges = m.Value
		}
	}
	if edges.Absent() {
		var o domain.Object
		for _, m := range members {
			o.Add(m.Key, m.Value)
		}
		o.Add("edges", domain.Raw([]byte("[]")))
		g.Raw, edges = o.Value().JSON, domain.Raw([]byte("[]"))
	}
	g.nodes = p.nodes(nodes)
	g.edges = p.edges(edges, g.nodes)
	return g, f.List
}

type parser struct {
	faults   *Faults
	registry *node.Registry
}

// text reads a string; "" with a fault if it is none.
func (p *parser) text(raw []byte, at string) string {
	if rawjson.KindOf(raw) != rawjson.String {
		p.faults.Add(at, "must be a string")
		return ""
	}
	s, ok := Text(raw)
	if !ok {
		p.faults.Add(at, "holds half of a surrogate pair; write both halves or neither")
	}
	return s
}

// Text decodes a string literal; false if it holds half a surrogate pair, which is no character:
// names that differ would become equal.
func Text(raw []byte) (string, bool) {
	raw = rawjson.Trim(raw)
	s := rawjson.Unquote(raw)
	return s, strings.Count(s, "\ufffd") <= bytes.Count(raw, []byte("\ufffd"))+bytes.Count(bytes.ToLower(raw), []byte(`\ufffd`))
}

func (p *parser) optionalText(raw []byte, at string) string {
	if rawjson.KindOf(raw) == rawjson.Null {
		return ""
	}
	return p.text(raw, at)
}

func (p *parser) nodes(v domain.Value) []vertex {
	if v.Absent() {
		p.faults.Add("/nodes", "is missing; send an array of nodes, which may be empty")
		return nil
	}
	if rawjson.KindOf(v.JSON) != rawjson.Array {
		p.faults.Add("/nodes", "must be an array of nodes")
		return nil
	}
	items := rawjson.Items(v.JSON)
	if len(items) > domain.TasksMax {
		p.faults.Add("/nodes", "has %d nodes, at most %d are allowed", len(items), domain.TasksMax)
		return nil
	}
	out := make([]vertex, 0, len(items))
	known := make(map[string]bool, len(items))
	for i, item := range items {
		n := p.node(item, "/nodes/"+strconv.Itoa(i))
		if n.id != "" && known[n.id] {
			p.faults.Add(n.at+"/id", "%q is the id of two nodes; ids must differ", rawjson.Clip(n.id))
		}
		known[n.id] = true
		out = append(out, n)
	}
	return out
}

// node reads one node.
func (p *parser) node(raw []byte, at string) vertex {
	n := vertex{at: at, config: json.RawMessage("{}"), configAt: at + "/data/config"}
	if rawjson.KindOf(raw) != rawjson.Object {
		p.faults.Add(at, "must be an object with id and type")
		return n
	}
	var id, typ, data, dataType, config, dataConfig []byte
	for _, m := range rawjson.Members(raw) {
		switch m.Key {
		case "id":
			id = m.Value
		case "type":
			typ = m.Value
		case "config":
			config = m.Value
		case "data":
			data = m.Value
			if kind := rawjson.KindOf(m.Value); kind != rawjson.Object && kind != rawjson.Null {
				p.faults.Add(at+"/data", "must be an object")
			}
			for _, d := range rawjson.Members(m.Value) {
				switch d.Key {
				case "type":
					dataType = d.Value
				case "config":
					dataConfig = d.Value
				case "label":
					if rawjson.KindOf(d.Value) == rawjson.String {
						n.label, _ = Text(d.Value)
					}
				}
			}
		}
	}
	if id == nil {
		p.faults.Add(at+"/id", "is missing; give the node an id")
	} else if n.id = p.text(id, at+"/id"); rawjson.KindOf(id) == rawjson.String {
		if err := workflow.CheckName(n.id); err != nil {
			p.faults.Add(at+"/id", "%s", err)
			n.id = ""
		}
	}
	p.function(&n, typ, dataType)
	switch {
	case rawjson.KindOf(dataConfig) == rawjson.Null && rawjson.KindOf(config) != rawjson.Null:
		dataConfig, n.configAt = config, at+"/config"
	case data == nil: // it is written the short way, and its config is missing
		n.configAt = at + "/config"
	}
	p.config(&n, dataConfig)
	return n
}

// function finds the node's type: data.type where type itself names none that exists.
func (p *parser) function(n *vertex, typ, dataType []byte) {
	where := n.at + "/type"
	first := p.optionalText(typ, where)
	n.function = first
	if _, known := p.registry.Get(first); !known && rawjson.KindOf(dataType) != rawjson.Null {
		second := p.optionalText(dataType, n.at+"/data/type")
		if _, known := p.registry.Get(second); known || first == "" {
			n.function, where = second, n.at+"/data/type"
		}
	}
	t, known := p.registry.Get(n.function)
	switch {
	case known:
		n.typ, n.function = t, t.Name
	case n.function == "":
		p.faults.Add(where, "is missing; name one of: %s", p.registry.Names())
	default:
		p.faults.Add(where, "%q is no node type of this server; use one of: %s", rawjson.Clip(n.function), p.registry.Names())
	}
}

// config checks a node's config against its type.
func (p *parser) config(n *vertex, config []byte) {
	switch rawjson.KindOf(config) {
	case rawjson.Object:
		n.config = rawjson.Trim(config)
	case rawjson.Null:
	default:
		p.faults.Add(n.configAt, "must be an object")
		return
	}
	if n.typ == nil {
		return
	}
	p.faults.AddAll(n.configAt, n.typ.CheckConfig(n.config))
	below := func(pointer, format string, args ...any) {
		rest, ok := strings.CutPrefix(pointer, "/config")
		if !ok {
			rest = ""
		}
		p.faults.Add(n.configAt+rest, format, args...)
	}
	if n.typ.Check != nil {
		for _, f := range n.typ.Check(n.params()) {
			below(f.Pointer, "%s", f.Message)
		}
	}
	for _, t := range sealing.TemplatesInSecret(n.params()) {
		if holdsLiteral(t.Text) {
			below(t.Pointer, "mixes a secret with a template; write the secret alone, or pass all of it as input")
		}
	}
	for _, f := range expression.CheckTemplates(n.params()) {
		below(f.Pointer, "%s", f.Message)
	}
	Traits(&workflow.Node{Params: domain.Raw(n.params()), Templates: true}, n.typ, below)
}

// routes are the names that the edges of a router may have as sourceHandle; other handles are an
// editor's own.
func (n *vertex) routes() map[string]bool {
	names := map[string]bool{}
	add := func(raw []byte) {
		if rawjson.KindOf(raw) != rawjson.String {
			return
		}
		if name, _ := Text(raw); strings.TrimSpace(name) != "" {
			names[strings.TrimSpace(name)] = true
		}
	}
	list, _ := rawjson.Get(n.config, "/routes")
	for _, item := range rawjson.Items(list) {
		name, _ := rawjson.Get(item, "/name")
		add(name)
	}
	fallback, _ := rawjson.Get(n.config, "/fallback_route")
	add(fallback)
	return names
}

// params are what a task of the node starts from.
func (n *vertex) params() json.RawMessage {
	b := make([]byte, 0, len(n.config)+12)
	return append(append(append(b, `{"config":`...), n.config...), '}')
}

func (p *parser) edges(v domain.Value, nodes []vertex) []arc {
	if rawjson.KindOf(v.JSON) != rawjson.Array {
		p.faults.Add("/edges", "must be an array of edges")
		return nil
	}
	items := rawjson.Items(v.JSON)
	if len(items) > EdgesMax {
		p.faults.Add("/edges", "has %d edges, at most %d are allowed", len(items), EdgesMax)
		return nil
	}
	types := make(map[string]string, len(nodes))
	routers := map[string]map[string]bool{}
	for i := range nodes {
		types[nodes[i].id] = nodes[i].function
		if nodes[i].function == typeRouter {
			routers[nodes[i].id] = nodes[i].routes()
		}
	}
	out := make([]arc, 0, len(items))
	for i, item := range items {
		e := p.edge(item, "/edges/"+strconv.Itoa(i))
		if e.condition == "" && namesBranch(types[e.source], e.handle) {
			e.condition = e.handle
		}
		if e.condition == "" && routers[e.source][e.handle] {
			e.condition = "route == " + string(rawjson.Quote(e.handle))
		}
		if e.condition != "" && !namesBranch(types[e.source], e.condition) {
			if _, err := expression.Compile(e.condition); err != nil {
				p.faults.Add(e.at+"/condition", "%s", err)
			}
		}
		out = append(out, e)
	}
	return out
}

func (p *parser) edge(raw []byte, at string) arc {
	e := arc{at: at}
	if rawjson.KindOf(raw) != rawjson.Object {
		p.faults.Add(at, "must be an object with source and target")
		return e
	}
	var source, target bool
	for _, m := range rawjson.Members(raw) {
		switch m.Key {
		case "source":
			e.source, source = p.text(m.Value, at+"/source"), true
		case "target":
			e.target, target = p.text(m.Value, at+"/target"), true
		case "sourceHandle":
			e.handle = p.optionalText(m.Value, at+"/sourceHandle")
		case "condition":
			if rawjson.KindOf(m.Value) == rawjson.Bool { // some editors save true and false bare
				e.condition = string(rawjson.Trim(m.Value))
			} else {
				e.condition = strings.TrimSpace(p.optionalText(m.Value, at+"/condition"))
			}
		}
	}
	if !source {
		p.faults.Add(at+"/source", "is missing; name the node the edge leaves")
	}
	if !target {
		p.faults.Add(at+"/target", "is missing; name the node the edge leads to")
	}
	return e
}
