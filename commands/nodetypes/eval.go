package nodetypes

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/rawjson"
)

// The kinds of checks.
const (
	evalSchema = "schema"
	evalPolicy = "policy"
	evalCustom = "custom"
	evalJudge  = "llm_judge"
)

// What becomes of an output that does not pass.
const (
	failBlock      = "block"
	failWarn       = "warn"
	failRetry      = "retry"
	failCompensate = "compensate"
)

// eval checks the output of the task before it (contract C.3): against a JSON Schema, by expressions,
// or by asking a model. Output: {passed, score, reason, data, on_failure}, data being what was checked.
//
// What does not pass fails the task with code EVAL_FAILED and the reason; with on_failure "warn" the
// task completes with passed false. "retry" lets the judge be asked again, within config.retry; the
// other checks give the same answer each time, so that they fail at once. "compensate" fails as
// "block" does; there is nothing to undo here.
//
// Only llm_judge is an effect: the other checks are computed within the decision, where expressions
// see all outputs and the input. Which one it is, the definition says, and the run keeps it.
func eval(d Deps) node.Type {
	return node.Type{
		Name:        "eval",
		Title:       "Eval",
		Category:    categoryAgents,
		Description: "Checks the output before it: by a JSON Schema, by expressions, or by asking a model to judge it.",
		Input: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {"data": {"description": "What is checked. Without it: the output of the task before, of several an object of theirs."}},
  "additionalProperties": true
}`),
		Output: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": ["passed", "score", "reason", "data", "on_failure"],
  "properties": {
    "passed": {"type": "boolean"}, "score": {"type": "number", "description": "0 to 1, but for a custom number."}, "reason": {"type": "string"},
    "data": {"description": "What was checked."}, "on_failure": {"enum": ["block", "warn", "retry", "compensate"]}
  }
}`),
		Examples: []node.Example{
			example("By a schema", `{"config":{"name":"Shape","eval_type":"schema","config":{"schema":{"type":"object","required":["id"],"properties":{"id":{"type":"integer"}}}}},"data":{"id":7}}`,
				`{"passed":true,"score":1,"reason":"the output keeps to the schema","data":{"id":7},"on_failure":"block"}`),
			example("By rules", `{"config":{"eval_type":"policy","config":{"rules":[{"name":"score","expression":"input.score > 0.9","reason":"must be above 0.9"},"input.state == 'new'"]},"on_failure":"warn"},"data":1}`,
				`{"passed":false,"score":0.5,"reason":"score must be above 0.9","data":1,"on_failure":"warn"}`),
			example("By an expression", `{"config":{"eval_type":"custom","config":{"expression":"input.score","threshold":0.6}},"data":1}`,
				`{"passed":true,"score":0.7,"reason":"the expression gave 0.7, 0.6 is needed","data":1,"on_failure":"block"}`),
			example("By a judge", `{"config":{"eval_type":"llm_judge","config":{"criteria":"names a refund date","threshold":0.5}},"data":"The refund comes on a date in May"}`,
				`{"passed":true,"score":0.67,"reason":"the judge gave 0.67, 0.5 is needed: the output holds 2 of the criteria's 3 words","data":"The refund comes on a date in May","on_failure":"block"}`),
		},
		Kind:    node.Effect,
		Calls:   node.CallsModel,
		Config:  json.RawMessage(evalConfigSchema),
		Timeout: judgeTimeoutSeconds * time.Second,
		PureFor: func(params json.RawMessage) bool { return field(params, "/config/eval_type") != evalJudge },
		Check: func(params json.RawMessage) []node.Fault {
			r := reader{params: params}
			r.eval()
			return r.faults
		},
		Compute: computeEval,
		Run:     d.runEval,
	}
}

// evaluation is what an eval's config asks for.
type evaluation struct {
	kind, onFailure string
	schema          *node.GivenSchema
	rules           []rule
	judge           modelConfig
	criteria        string
	threshold       float64
}

// verdict is what a check found.
type verdict struct {
	passed bool
	score  float64
	reason string
	said   string // of the judge: shown after secrets are masked
}

func (r *reader) eval() evaluation {
	c := evaluation{threshold: 0.7}
	const typeAt = "/config/eval_type"
	if raw, ok := rawjson.Get(r.params, typeAt); ok && unresolved(unwrapValue(raw)) {
		r.fault(typeAt, "must be written out: it says how the task runs")
		return c
	}
	c.kind = r.choice(typeAt, evalSchema, evalJudge, evalPolicy, evalCustom)
	if c.kind == "" && len(r.faults) == 0 {
		r.fault(typeAt, "is required: one of schema, llm_judge, policy, custom")
	}
	if c.onFailure = r.choice("/config/on_failure", failBlock, failWarn, failRetry, failCompensate); c.onFailure == "" {
		c.onFailure = failBlock
	}
	if r.has(evalAt) {
		r.members(evalAt)
	}
	switch c.kind {
	case evalSchema:
		c.schema = r.givenSchema()
	case evalPolicy:
		c.rules = r.rules()
	case evalCustom:
		c.rules = []rule{{name: "custom", at: evalAt + "/expression"}}
		r.compile(&c.rules[0])
		c.readThreshold(r)
	case evalJudge:
		c.readThreshold(r)
		c.readJudge(r)
	}
	return c
}

// evalAt is where the check's own settings stand.
const evalAt = "/config/config"

func (c *evaluation) readThreshold(r *reader) {
	if n, ok := r.number(evalAt+"/threshold", 0, 1); ok {
		c.threshold = n
	}
}

// givenSchema reads config.config.schema, or config.config if it is itself a schema.
func (r *reader) givenSchema() *node.GivenSchema {
	at := evalAt + "/schema"
	if !r.has(at) {
		for _, sign := range []string{"type", "properties", "required", "$schema", "enum", "items", "anyOf", "allOf", "oneOf"} {
			if r.has(evalAt + "/" + sign) {
				at = evalAt
				break
			}
		}
	}
	raw, ok := rawjson.Get(r.params, at)
	if !ok {
		r.fault(at, "is required: the JSON Schema of the output")
		return nil
	}
	if s, isText := text(raw); isText { // editors keep a schema as a text
		raw = json.RawMessage(s)
	}
	if strings.Contains(string(raw), "{{") && !r.resolved {
		r.fault(at, "must be written out: what is checked is not to say how")
		return nil
	}
	if rawjson.Check(raw, domain.JSONDepthMax) != nil {
		r.fault(at, "is not acceptable JSON")
		return nil
	}
	schema, err := node.NewGivenSchema(raw)
	if err != nil {
		r.fault(at, "%s", err.Error())
		return nil
	}
	return schema
}

func computeEval(call node.Call) (node.Reply, error) {
	r := reader{params: call.Params, resolved: true}
	c := r.eval()
	if len(r.faults) > 0 {
		return node.Reply{}, configFailure(r.faults[0])
	}
	scope := scopeOf(call)
	data := orNull(evaluated(call))
	var v verdict
	var err error
	switch c.kind {
	case evalSchema:
		v, err = c.bySchema(data)
	case evalPolicy:
		v, err = c.byRules(scope)
	default:
		v, err = c.byExpression(scope)
	}
	if err != nil {
		return node.Reply{}, err
	}
	return c.end(v, data, nil)
}

// evaluated is what is checked: params.data if given, else the output of the task before, else, of
// several, an object of theirs.
func evaluated(call node.Call) json.RawMessage {
	if raw, ok := rawjson.Get(call.Params, "/data"); ok {
		return unwrapValue(raw)
	}
	given := distinct(call.Upstream)
	if len(given) == 1 {
		return given[0].Output
	}
	if len(given) == 0 && call.Scope != nil {
		return call.Scope.Output
	}
	var all domain.Object
	for _, up := range given {
		all.Add(up.Task, domain.Raw(up.Output))
	}
	return all.Value().JSON
}

// bySchema passes data that keeps to the schema.
func (c *evaluation) bySchema(data json.RawMessage) (verdict, error) {
	faults, err := c.schema.Check(data)
	if err != nil {
		return verdict{}, configFailure(node.Fault{Pointer: evalAt + "/schema", Message: err.Error()})
	}
	if len(faults) == 0 {
		return verdict{passed: true, score: 1, reason: "the output keeps to the schema"}, nil
	}
	var b strings.Builder
	b.WriteString("the output breaks the schema: ")
	for i, f := range faults {
		if i == evalReasonsMax {
			b.WriteString("; and more")
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		where := clip(f.Pointer, 100)
		if where == "" {
			where = "it"
		}
		b.WriteString(where + " " + f.Message)
	}
	return verdict{reason: clip(b.String(), judgeTextMax)}, nil
}

// evalReasonsMax is how many faults a reason names.
const evalReasonsMax = 5

// end turns a verdict into the task's outcome.
func (c *evaluation) end(v verdict, data json.RawMessage, details map[string]any) (node.Reply, error) {
	score := domain.Raw(strconv.AppendFloat(nil, v.score, 'f', -1, 64))
	if v.passed || c.onFailure == failWarn {
		var o domain.Object
		o.Add("passed", domain.Raw(strconv.AppendBool(nil, v.passed)))
		o.Add("score", score)
		o.Add("reason", domain.Text(strings.TrimSuffix(v.reason+": "+v.said, ": ")))
		o.Add("data", domain.Raw(data))
		o.Add("on_failure", domain.Text(c.onFailure))
		return node.Reply{Output: o.Value().JSON, Details: details}, nil
	}
	f := node.Failf("EvalError", codeEvalFailed, c.onFailure == failRetry && c.kind == evalJudge, "%s", v.reason)
	f.Said = oneLine(v.said)
	var o domain.Object
	o.Add("eval_type", domain.Text(c.kind))
	o.Add("score", score)
	o.Add("on_failure", domain.Text(c.onFailure))
	f.Details, f.CallDetails = o.Value().JSON, details
	return node.Reply{}, f
}

func (d Deps) runEval(ctx context.Context, call node.Call) (node.Reply, error) {
	r := reader{params: call.Params, resolved: true}
	c := r.eval()
	if len(r.faults) > 0 {
		return node.Reply{}, configFailure(r.faults[0])
	}
	if c.kind != evalJudge {
		// A definition of before the trait, or one whose params say something else than they did.
		return computeEval(call)
	}
	ctx, cancel := withTimeout(ctx, c.judge.timeout, judgeTimeoutSeconds*time.Second)
	defer cancel()
	data := orNull(evaluated(call))
	if !d.configured(c.judge) {
		ans, details := deterministicAnswer(nil)
		ans.describe(details)
		return c.end(c.byWords(plain(data)), data, details)
	}
	words, _, details, failure := d.askJudge(ctx, call, c.judge, question{c.instructions(), plain(data)})
	if failure != nil {
		return node.Reply{}, failure
	}
	v, ok := c.understand(words)
	if !ok {
		return node.Reply{}, undecided("it holds no score and no verdict", words, details)
	}
	return c.end(v, data, details)
}
