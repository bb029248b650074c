package nodetypes

import (
	"encoding/json"
	"strconv"
	"strings"

	"quipu/commands/expression"
	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/rawjson"
)

// rulesMax is the most rules of a policy. Together they have the bounds of one expression.
const rulesMax = 100

// rule is one expression of a policy.
type rule struct {
	name, reason, at string
	program          *expression.Program
}

// rules reads config.config.rules (or policies): expressions, or {name, expression, reason}; or the one
// config.config.expression.
func (r *reader) rules() []rule {
	at := evalAt + "/rules"
	if !r.has(at) && r.has(evalAt+"/policies") {
		at = evalAt + "/policies"
	}
	if !r.has(at) {
		one := rule{at: evalAt + "/expression"}
		if !r.has(one.at) {
			r.fault(at, "is required: an array of {name, expression, reason}, or one expression beside it")
			return nil
		}
		r.compile(&one)
		return []rule{one}
	}
	raw, ok := r.value(at)
	items := rawjson.Items(raw)
	switch {
	case !ok || rawjson.KindOf(raw) != rawjson.Array:
		r.fault(at, "must be an array of {name, expression, reason}")
		return nil
	case len(items) == 0 || len(items) > rulesMax:
		r.fault(at, "must hold 1 to %d rules", rulesMax)
		return nil
	}
	out := make([]rule, len(items))
	for i, item := range items {
		x := rule{at: at + "/" + strconv.Itoa(i), name: "rule " + strconv.Itoa(i+1)}
		if rawjson.KindOf(item) == rawjson.Object {
			if s := field(item, "/name"); s != "" {
				x.name = clip(oneLine(s), 100)
			}
			x.reason = clip(oneLine(field(item, "/reason")+field(item, "/message")), 300)
			x.at += "/expression"
		}
		r.compile(&x)
		out[i] = x
	}
	return out
}

// compile reads a rule's expression.
func (r *reader) compile(x *rule) {
	if raw, ok := rawjson.Get(r.params, x.at); !ok || rawjson.KindOf(raw) == rawjson.Null {
		r.fault(x.at, "is required: an expression such as output.score > 0.5")
		return
	}
	x.program = r.expression(x.at)
}

// byRules passes what all rules are true of; the score is the share of those that are.
func (c *evaluation) byRules(scope node.Scope) (verdict, error) {
	values, err := c.values(scope)
	if err != nil {
		return verdict{}, err
	}
	var broken []string
	for i, v := range values {
		if truth(v) {
			continue
		}
		why := c.rules[i].reason
		if why == "" {
			why = "is not true of the output"
		}
		broken = append(broken, strings.TrimSpace(c.rules[i].name+" "+why))
	}
	if len(broken) == 0 {
		return verdict{passed: true, score: 1, reason: "all rules hold"}, nil
	}
	told := broken[:min(len(broken), evalReasonsMax)]
	v := verdict{score: hundredths(float64(len(values)-len(broken)) / float64(len(values))), reason: strings.Join(told, "; ")}
	if len(told) < len(broken) {
		v.reason += "; and " + strconv.Itoa(len(broken)-len(told)) + " more"
	}
	return v, nil
}

// byExpression judges by one expression's value: a number is a score, which passes from the threshold
// on; of an object the members passed, score and reason count; of anything else its truth.
func (c *evaluation) byExpression(scope node.Scope) (verdict, error) {
	values, err := c.values(scope)
	if err != nil {
		return verdict{}, err
	}
	value := values[0]
	switch rawjson.KindOf(value) {
	case rawjson.Number:
		n, _ := strconv.ParseFloat(string(value), 64)
		return verdict{
			passed: n >= c.threshold, score: n,
			reason: "the expression gave " + string(value) + ", " + strconv.FormatFloat(c.threshold, 'f', -1, 64) + " is needed",
		}, nil
	case rawjson.Object:
		return c.byObject(value)
	}
	v := verdict{passed: truth(value), reason: "the expression holds"}
	if v.score = number(v.passed); !v.passed {
		v.reason = "the expression does not hold"
	}
	return v, nil
}

func (c *evaluation) byObject(value json.RawMessage) (verdict, error) {
	passed, told := rawjson.Get(value, "/passed")
	raw, scored := rawjson.Get(value, "/score")
	if !told && !scored {
		return verdict{}, expressionFailure(c.rules[0].at, &expression.EvalError{Reason: "the object has no member passed and no member score"})
	}
	v := verdict{passed: truth(passed), reason: clip(field(value, "/reason"), judgeTextMax)}
	v.score = number(v.passed)
	if scored && rawjson.KindOf(raw) == rawjson.Number {
		v.score, _ = strconv.ParseFloat(string(raw), 64)
	}
	if !told {
		v.passed = v.score >= c.threshold
	}
	if v.reason == "" {
		v.reason = "the expression says so"
	}
	return v, nil
}

func (c *evaluation) values(scope node.Scope) ([]json.RawMessage, error) {
	programs := make([]*expression.Program, len(c.rules))
	for i := range c.rules {
		programs[i] = c.rules[i].program
	}
	values, bad, err := expression.EvalAll(programs, scope)
	if err != nil {
		return nil, expressionFailure(c.rules[bad].at, err)
	}
	return values, nil
}

// truth is a value's truth by Python's rules, as conditions have it.
func truth(value json.RawMessage) bool {
	switch rawjson.KindOf(value) {
	case rawjson.Null:
		return false
	case rawjson.Bool:
		return string(rawjson.Trim(value)) == "true"
	case rawjson.Number:
		n, err := strconv.ParseFloat(string(rawjson.Trim(value)), 64)
		return err != nil || n != 0
	case rawjson.String:
		return plain(value) != ""
	case rawjson.Array:
		return len(rawjson.Items(value)) > 0
	}
	return len(domain.Raw(value).Members()) > 0
}

const evalConfigSchema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": ["eval_type"],
  "properties": {
    "name": {"type": "string"},
    "eval_type": {"enum": ["schema", "llm_judge", "policy", "custom"]},
    "config": {"type": "object", "default": {}, "description": "schema: {schema}; policy: {rules: [{name, expression, reason}]}; custom: {expression, threshold}; llm_judge: {criteria, threshold, model, base_url, openai_api_key, temperature}."},
    "on_failure": {"enum": ["block", "warn", "retry", "compensate"], "default": "block", "description": "block and compensate fail the run, warn completes with passed false, retry asks the judge again."},
    "json_mode": {"type": ["boolean", "string", "null"], "default": true, "description": "Ask the judge's API for a JSON object."},
    "timeout": {"type": ["number", "string", "null"], "description": "Seconds or a duration for one attempt of the judge, default 5m."},
    "retry": {"type": ["object", "boolean", "null"], "description": "Of the judge."},
    "idempotency": {"enum": ["per_task", "per_attempt"], "default": "per_task"}
  }
}`
