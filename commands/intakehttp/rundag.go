package intakehttp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	"quipu/commands"
	"quipu/commands/definition"
	"quipu/commands/expression"
	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/name"
	"quipu/domain/rawjson"
	"quipu/domain/workflow"
)

// laoFunctions translates LAO's names where they differ from the registry's (contract D8).
var laoFunctions = map[string]string{"agent": "call_lyzr_agent"}

// parseRunDAG reads the body of run-dag, bare or wrapped (contract D7), and checks everything that
// can be checked without starting.
//
// body is kept by the result. Errors: ErrUnprocessable if it is malformed or a field has the wrong
// type; ErrInvalid if its meaning is wrong (unknown function, bad condition).
func parseRunDAG(body []byte, registry *node.Registry) (commands.StartRequest, error) {
	var q commands.StartRequest
	if err := checkJSON(body); err != nil {
		return q, err
	}
	var shape, meaning faults
	p := parser{shape: &shape, meaning: &meaning, registry: registry}
	flow, at := domain.Raw(body), ""
	inputs := domain.Value{}
	if wrapped, ok := flow.Get("/workflow_data"); ok {
		inputs, _ = flow.Get("/inputs")
		flow, at = wrapped, "/workflow_data"
	}
	if rawjson.KindOf(flow.JSON) != rawjson.Object {
		shape.add(orRoot(at), "must be an object with tasks and flow_name")
		return q, shape.err(domain.KindUnprocessable, "INVALID_BODY")
	}
	q.Source = "lao"
	p.workflow(flow, at, inputs, &q)
	if err := shape.err(domain.KindUnprocessable, "INVALID_BODY"); err != nil {
		return q, err
	}
	if err := meaning.err(domain.KindInvalid, "INVALID_WORKFLOW"); err != nil {
		return q, err
	}
	sum := sha256.Sum256(body)
	q.BodySHA256 = hex.EncodeToString(sum[:])
	q.WorkflowID = name.WorkflowID(q.FlowName)
	return q, nil
}

func checkJSON(body []byte) error {
	bad := func(message string) error {
		return domain.E(domain.KindUnprocessable, "", "", message).WithField("body").WithCode("INVALID_JSON")
	}
	switch {
	case len(rawjson.Trim(body)) == 0:
		return bad("is empty; send a JSON object with tasks and flow_name")
	case bytes.HasPrefix(body, []byte("\xef\xbb\xbf")):
		return bad("begins with a byte order mark; send plain UTF-8 without one")
	}
	err := rawjson.Check(body, domain.JSONDepthMax)
	var syntax *rawjson.SyntaxError
	if errors.As(err, &syntax) {
		return domain.E(domain.KindUnprocessable, "", "", "is not acceptable JSON at byte "+strconv.Itoa(syntax.Offset)+": "+syntax.Reason).
			WithField(orRoot(syntax.Pointer)).WithCode("INVALID_JSON")
	}
	return err
}

func orRoot(pointer string) string {
	if pointer == "" {
		return "body"
	}
	return pointer
}

type parser struct {
	shape, meaning *faults
	registry       *node.Registry
}

func (p *parser) workflow(flow domain.Value, at string, inputs domain.Value, q *commands.StartRequest) {
	var tasks, edges, defaults domain.Value
	for _, m := range flow.Members() {
		switch m.Key {
		case "tasks":
			tasks = m.Value
		case "edges":
			edges = m.Value
		case "default_inputs":
			defaults = m.Value
		case "flow_name":
			q.FlowName = p.text(m.Value, at, "/flow_name")
		case "run_name":
			q.RunName = p.textOrNull(m.Value, at, "/run_name")
		}
	}
	if _, given := flow.Get("/flow_name"); !given {
		p.shape.add(at+"/flow_name", "is missing; give the flow a name")
	}
	q.Input = p.input(defaults, at+"/default_inputs", inputs)
	q.Definition.Nodes = p.tasks(tasks, at+"/tasks")
	q.Definition.Edges = p.edges(edges, at+"/edges", q.Definition.Nodes)
}

// text reads a string that stands at member below at.
func (p *parser) text(v domain.Value, at, member string) string {
	if rawjson.KindOf(v.JSON) != rawjson.String {
		p.shape.add(at+member, "must be a string")
		return ""
	}
	raw := rawjson.Trim(v.JSON)
	text := rawjson.Unquote(raw)
	// Half a surrogate pair is no character: it would become U+FFFD, and names that differ one.
	if strings.Contains(text, "\ufffd") && strings.Count(text, "\ufffd") > bytes.Count(raw, []byte("\ufffd"))+bytes.Count(bytes.ToLower(raw), []byte(`\ufffd`)) {
		p.shape.add(at+member, "holds half of a surrogate pair; write both halves or neither")
	}
	return text
}

func (p *parser) textOrNull(v domain.Value, at, member string) string {
	if rawjson.KindOf(v.JSON) == rawjson.Null {
		return ""
	}
	return p.text(v, at, member)
}

// input merges inputs over default_inputs key by key, values as written.
func (p *parser) input(defaults domain.Value, at string, inputs domain.Value) []byte {
	override := map[string]domain.Value{}
	for _, v := range []struct {
		value domain.Value
		at    string
	}{{defaults, at}, {inputs, "/inputs"}} {
		if kind := rawjson.KindOf(v.value.JSON); !v.value.Absent() && kind != rawjson.Object && kind != rawjson.Null {
			p.shape.add(v.at, "must be an object")
		}
	}
	for _, m := range inputs.Members() {
		override[m.Key] = m.Value
	}
	if len(override) == 0 && rawjson.KindOf(defaults.JSON) == rawjson.Object {
		return rawjson.Trim(defaults.JSON)
	}
	var o domain.Object
	for _, m := range defaults.Members() {
		if v, ok := override[m.Key]; ok {
			m.Value = v
			delete(override, m.Key)
		}
		o.Add(m.Key, m.Value)
	}
	for _, m := range inputs.Members() {
		if _, left := override[m.Key]; left {
			o.Add(m.Key, m.Value)
		}
	}
	return o.Value().JSON
}

func (p *parser) tasks(v domain.Value, at string) []workflow.Node {
	if rawjson.KindOf(v.JSON) != rawjson.Array {
		p.shape.add(at, "must be an array of tasks")
		return nil
	}
	items := rawjson.Items(v.JSON)
	if len(items) > domain.TasksMax {
		p.shape.add(at, "has %d tasks, at most %d are allowed", len(items), domain.TasksMax)
		return nil
	}
	nodes := make([]workflow.Node, 0, len(items))
	for i, item := range items {
		nodes = append(nodes, p.task(domain.Raw(item), at+"/"+strconv.Itoa(i)))
	}
	return nodes
}

func (p *parser) task(v domain.Value, at string) workflow.Node {
	n := workflow.Node{Params: domain.Raw([]byte("{}"))}
	if rawjson.KindOf(v.JSON) != rawjson.Object {
		p.shape.add(at, "must be an object with name and function")
		return n
	}
	function, named, mistyped := "", false, false
	for _, m := range v.Members() {
		switch m.Key {
		case "name":
			n.Name, named = p.text(m.Value, at, "/name"), true
		case "tag":
			n.Tag = p.textOrNull(m.Value, at, "/tag")
		case "function":
			function, mistyped = p.text(m.Value, at, "/function"), rawjson.KindOf(m.Value.JSON) != rawjson.String
		case "params":
			switch rawjson.KindOf(m.Value.JSON) {
			case rawjson.Object:
				n.Params = m.Value
			case rawjson.Null:
			default:
				p.shape.add(at+"/params", "must be an object")
			}
		}
	}
	if !named {
		p.shape.add(at+"/name", "is missing; give the task a name")
	}
	if mistyped {
		return n
	}
	if function == "" {
		p.shape.add(at+"/function", "is missing; name one of: %s", p.registry.Names())
		return n
	}
	p.traits(&n, function, at)
	return n
}

// traits resolves what the node's type and its config say about running it.
func (p *parser) traits(n *workflow.Node, function, at string) {
	if to, ok := laoFunctions[function]; ok {
		function = to
	}
	typ, ok := p.registry.Get(function)
	if !ok {
		p.meaning.add(at+"/function", "%q is no function of this server; use one of: %s", rawjson.Clip(function), p.registry.Names())
		return
	}
	at += "/params"
	if typ.Check != nil {
		for _, f := range typ.Check(n.Params.JSON) {
			p.shape.add(at+f.Pointer, "%s", f.Message)
		}
	}
	definition.Traits(n, typ, func(pointer, format string, args ...any) { p.shape.add(at+pointer, format, args...) })
}

func (p *parser) edges(v domain.Value, at string, nodes []workflow.Node) []workflow.Edge {
	if v.Absent() || rawjson.KindOf(v.JSON) == rawjson.Null {
		return nil
	}
	if rawjson.KindOf(v.JSON) != rawjson.Array {
		p.shape.add(at, "must be an array of edges")
		return nil
	}
	types := map[string]string{}
	for _, n := range nodes {
		types[n.Name] = n.Type
	}
	items := rawjson.Items(v.JSON)
	if len(items) > edgesMax {
		p.shape.add(at, "has %d edges, at most %d are allowed", len(items), edgesMax)
		return nil
	}
	edges := make([]workflow.Edge, 0, len(items))
	for i, item := range items {
		e := p.edge(domain.Raw(item), at+"/"+strconv.Itoa(i))
		if e.Condition != "" && !commands.NamesBranch(types[e.Source], e.Condition) {
			if _, err := expression.Compile(e.Condition); err != nil {
				p.meaning.add(at+"/"+strconv.Itoa(i)+"/condition", "%s", err)
			}
		}
		edges = append(edges, e)
	}
	return edges
}

const edgesMax = definition.EdgesMax

func (p *parser) edge(v domain.Value, at string) workflow.Edge {
	var e workflow.Edge
	if rawjson.KindOf(v.JSON) != rawjson.Object {
		p.shape.add(at, "must be an object with source and target")
		return e
	}
	for _, m := range v.Members() {
		switch m.Key {
		case "source":
			e.Source = p.text(m.Value, at, "/source")
		case "target":
			e.Target = p.text(m.Value, at, "/target")
		case "condition":
			e.Condition = strings.TrimSpace(p.condition(m.Value, at, "/condition"))
		}
	}
	if e.Source == "" || e.Target == "" {
		p.shape.add(at, "needs the names of its source and target tasks")
	}
	return e
}

// condition accepts a boolean beside a string: some editors save true and false bare.
func (p *parser) condition(v domain.Value, at, member string) string {
	switch rawjson.KindOf(v.JSON) {
	case rawjson.Bool:
		return string(rawjson.Trim(v.JSON))
	default:
		return p.textOrNull(v, at, member)
	}
}

// ParseRunDAG reads the body of run-dag for intakes other than HTTP. A run without a name gets none.
// body is kept by the result. Errors: as those of POST /run-dag.
func ParseRunDAG(body []byte, registry *node.Registry) (commands.StartRequest, error) {
	return parseRunDAG(body, registry)
}
