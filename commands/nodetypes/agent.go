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

// answer is what a provider said.
type answer struct {
	output json.RawMessage // a JSON string, unless the far side answered with other JSON
	model  string          // "" if not known
	usage  *usage
}

type usage struct{ prompt, completion int }

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
		Category:    "AI Agents",
		Description: "Asks a model with system instructions. Output: the answer.",
		Kind:        node.Effect,
		Calls:       node.CallsModel,
		Config:      json.RawMessage(agentSchema),
		Timeout:     agentTimeout,
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
	ask := d.askDeterministic
	switch {
	case cfg.apiURL != nil:
		ask = d.askAgentAPI
	case cfg.baseURL != nil || d.Model.BaseURL != "":
		ask = d.askModel
	}
	ctx, cancel := withTimeout(ctx, cfg.timeout, agentTimeout)
	defer cancel()
	ans, details, failure := ask(ctx, call, cfg, agentMessage(call))
	if failure != nil {
		return node.Reply{}, failure
	}
	if ans.model != "" {
		details["model"] = ans.model
	}
	if ans.usage != nil {
		details["prompt_tokens"], details["completion_tokens"] = ans.usage.prompt, ans.usage.completion
	}
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

func (d Deps) askDeterministic(_ context.Context, _ node.Call, cfg agentConfig, message string) (answer, map[string]any, *node.Failure) {
	return answer{output: rawjson.Quote(deterministicReply(cfg.who(), message)), model: deterministicModel},
		map[string]any{"provider": deterministicModel, "latency_ms": int64(0)}, nil
}
