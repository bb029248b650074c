package nodetypes

import (
	"context"
	"encoding/json"
	"time"

	"quipu/commands/node"
	"quipu/domain/rawjson"
)

// agentTimeout is O1's limit for agents (contract C.2).
const agentTimeout = 10 * time.Minute

// agentConfig is params.config of the agent types, read without decoding numbers.
type agentConfig struct {
	name, id, model, system string
	full                    bool
}

func readAgentConfig(params json.RawMessage) agentConfig {
	return agentConfig{
		name:   field(params, "/config/agent_name"),
		id:     field(params, "/config/agent_id"),
		model:  field(params, "/config/model"),
		system: field(params, "/config/system_instructions"),
		full:   field(params, "/config/output") == "full",
	}
}

// who names the agent for people: its name, else its id, else "agent".
func (c agentConfig) who() string {
	switch {
	case c.name != "":
		return c.name
	case c.id != "":
		return c.id
	}
	return "agent"
}

// answer is what a provider said.
type answer struct {
	output  json.RawMessage // a JSON string, unless the far side answered with other JSON
	details map[string]any
}

func agentLyzr(d Deps) node.Type {
	t := agent(d)
	t.Name = "call_lyzr_agent"
	t.Title = "Lyzr agent"
	t.Description = "Asks an agent over its api_url (or a model, or the built-in deterministic provider). Output: the reply."
	return t
}

// agent asks a model. It runs under two names: call_lyzr_agent is LAO's, agent the Orchestrator's;
// their default output is the reply itself, config.output "full" gives the Orchestrator's object.
func agent(d Deps) node.Type {
	a := asker{deps: d}
	return node.Type{
		Name:        "agent",
		Title:       "Agent",
		Category:    "AI Agents",
		Description: "Asks a model with system instructions. Output: the reply.",
		Kind:        node.Effect,
		Calls:       node.CallsModel,
		Timeout:     agentTimeout,
		Run:         a.run,
	}
}

type asker struct{ deps Deps }

func (a asker) run(ctx context.Context, call node.Call) (node.Reply, error) {
	cfg := readAgentConfig(call.Params)
	message := agentMessage(call)
	started := a.deps.Now()
	ans := answer{
		output:  rawjson.Quote(deterministicReply(cfg.who(), message)),
		details: map[string]any{"provider": deterministicModel, "model": deterministicModel},
	}
	ans.details["latency_ms"] = a.deps.Now().Sub(started).Milliseconds()
	return node.Reply{Output: ans.output, Details: ans.details}, nil
}
