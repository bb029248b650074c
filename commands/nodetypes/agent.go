package nodetypes

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/rawjson"
)

// agentTimeout is O1's limit for agents (contract C.2).
const agentTimeout = 10 * time.Minute

// agentLyzr is LAO's name for agent.
func agentLyzr(d Deps) node.Type {
	t := agent(d)
	t.Name = "call_lyzr_agent"
	t.Title = "Lyzr agent"
	t.Description = "Asks an agent over its api_url, or a model where it has none. Output: the answer."
	return t
}

// agent asks an agent or a model: config.api_url if there is one, else config.base_url, else the
// process's default model, else the deterministic provider.
//
// Output: the answer, normally a JSON string. With config.output "full", which the intake of
// /api/workflows sets: {output, model, cost, usage, temperature_used} (contract C.3).
func agent(d Deps) node.Type {
	return node.Type{
		Name:        "agent",
		Title:       "Agent",
		Category:    categoryAgents,
		Description: "Asks a model with system instructions. Output: the answer.",
		Input: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "user_message": {"description": "What the agent is told first; message is another name of it."},
    "user input": {"description": "Told behind it."},
    "assets": {"type": "array", "description": "Handed to an agent at api_url."}
  },
  "additionalProperties": {"description": "The output of a task before, told as a line of its own."}
}`),
		Output: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "anyOf": [
    {"description": "The answer; other JSON where the agent at api_url gave some."},
    {"type": "object", "description": "With output full.", "required": ["output", "model", "cost", "usage", "temperature_used"], "properties": {
      "output": {}, "model": {"type": ["string", "null"]}, "cost": {"type": "null"}, "temperature_used": {"type": ["number", "null"]},
      "usage": {"type": ["object", "null"], "properties": {"prompt_tokens": {"type": "integer"}, "completion_tokens": {"type": "integer"}, "total_tokens": {"type": "integer"}}}
    }}
  ]
}`),
		Examples: []node.Example{
			example("Ask a model", `{"config":{"name":"Triage","agent_name":"Triage","system_instructions":"Name the department.","temperature":0.2},"user_message":"My invoice is wrong"}`,
				`"Triage (deterministic fae6668560d4): My invoice is wrong"`),
			example("The same, all there is to know", `{"config":{"agent_name":"Triage","output":"full"},"user_message":"My invoice is wrong"}`,
				`{"output":"Triage (deterministic fae6668560d4): My invoice is wrong","model":"deterministic","cost":null,"usage":null,"temperature_used":null}`),
		},
		Kind:    node.Effect,
		Calls:   node.CallsModel,
		Config:  json.RawMessage(agentSchema),
		Timeout: agentTimeout,
		Check: func(params json.RawMessage) []node.Fault {
			_, faults := readAgentConfig(params, false)
			return faults
		},
		Run: d.runAgent,
	}
}

func (d Deps) runAgent(ctx context.Context, call node.Call) (node.Reply, error) {
	cfg, faults := readAgentConfig(call.Params, true)
	if len(faults) > 0 {
		return node.Reply{}, configFailure(faults[0])
	}
	ctx, cancel := withTimeout(ctx, cfg.timeout, agentTimeout)
	defer cancel()
	message := agentMessage(call)
	var ans answer
	var details map[string]any
	var failure *node.Failure
	switch {
	case cfg.apiURL != nil:
		ans, details, failure = d.askAgentAPI(ctx, call, cfg, message)
	case cfg.provider != deterministicModel && d.configured(cfg.modelConfig):
		cfg.model = cfg.modelName(d.Model.Name)
		ans, details, failure = d.askModel(ctx, call, cfg.modelConfig, question{cfg.instructions(), message})
	default:
		ans, details = deterministicAnswer(rawjson.Quote(deterministicReply(cfg.who(), message)))
	}
	if failure != nil {
		return node.Reply{}, failure
	}
	ans.describe(details)
	if cfg.full {
		ans.output = fullAnswer(ans, cfg)
	}
	return node.Reply{Output: ans.output, Details: details}, nil
}

func fullAnswer(ans answer, cfg agentConfig) json.RawMessage {
	model, use, temperature := domain.Null(), domain.Null(), domain.Null()
	if ans.model != "" {
		model = domain.Text(ans.model)
	}
	if u := ans.usage; u != nil {
		var o domain.Object
		o.Add("prompt_tokens", domain.Raw(strconv.AppendInt(nil, int64(u.prompt), 10)))
		o.Add("completion_tokens", domain.Raw(strconv.AppendInt(nil, int64(u.completion), 10)))
		o.Add("total_tokens", domain.Raw(strconv.AppendInt(nil, int64(u.prompt)+int64(u.completion), 10)))
		use = o.Value()
	}
	if cfg.hasTemperature {
		temperature = domain.Raw(strconv.AppendFloat(nil, cfg.temperature, 'g', -1, 64))
	}
	var o domain.Object
	o.Add("output", domain.Raw(ans.output))
	o.Add("model", model)
	o.Add("cost", domain.Null()) // prices change; nothing here knows them
	o.Add("usage", use)
	o.Add("temperature_used", temperature)
	return o.Value().JSON
}

// deterministicAnswer is what the built-in provider said, with the details of such a call.
func deterministicAnswer(output json.RawMessage) (answer, map[string]any) {
	return answer{output: output, model: deterministicModel}, map[string]any{"provider": deterministicModel, "latency_ms": int64(0)}
}
