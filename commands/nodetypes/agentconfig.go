package nodetypes

import (
	"encoding/json"
	"net/url"
	"time"

	"quipu/commands/node"
)

// agentConfig is params.config of the agent types.
type agentConfig struct {
	name, id, userID, sessionID string
	key, model, system          string
	apiURL, baseURL             *url.URL
	temperature                 float64
	hasTemperature              bool
	full, perAttempt            bool
	timeout                     time.Duration
}

func readAgentConfig(params json.RawMessage, resolved bool) (agentConfig, []node.Fault) {
	r := reader{params: params, resolved: resolved}
	var c agentConfig
	if r.has("/config") {
		r.members("/config")
	}
	for _, f := range []struct {
		name string
		into *string
	}{
		{"agent_name", &c.name}, {"agent_id", &c.id}, {"user_id", &c.userID}, {"session_id", &c.sessionID},
		{"api_key", &c.key}, {"model", &c.model}, {"system_instructions", &c.system},
	} {
		*f.into, _ = r.text("/config/" + f.name)
	}
	c.apiURL = r.optionalURL("/config/api_url")
	c.baseURL = r.optionalURL("/config/base_url")
	c.temperature, c.hasTemperature = r.number("/config/temperature", 0, 2)
	c.full = r.choice("/config/output", "text", "full") == "full"
	c.perAttempt = r.choice("/config/idempotency", "per_task", "per_attempt") == "per_attempt"
	c.timeout = r.timeout("/config/timeout")
	return c, r.faults
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

// modelName chooses the model: config.model, else agent_id, which is a model's name in the
// Orchestrator (contract C.3) but an opaque hexadecimal id in LAO, where the process's default
// comes first.
func (c agentConfig) modelName(fallback string) string {
	switch {
	case c.model != "":
		return c.model
	case c.id == "", fallback != "" && opaque(c.id):
		return fallback
	}
	return c.id
}

// opaque tells whether id looks like an object id or a UUID.
func opaque(id string) bool {
	digits := 0
	for _, c := range id {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			digits++
		case c != '-':
			return false
		}
	}
	return digits >= 20
}

const agentSchema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "name": {"type": "string"},
    "agent_name": {"type": "string"},
    "agent_id": {"type": "string", "description": "The agent at api_url, or the model's name."},
    "user_id": {"type": "string"},
    "session_id": {"type": "string", "description": "Default: the run's id."},
    "api_key": {"type": "string"},
    "api_url": {"type": "string", "description": "Where the agent is asked: POST {user_id, agent_id, session_id, message, assets}, answer {response}."},
    "base_url": {"type": "string", "description": "An OpenAI-compatible API, where there is no api_url."},
    "model": {"type": "string"},
    "system_instructions": {"type": "string"},
    "temperature": {"type": "number", "minimum": 0, "maximum": 2, "default": 0.7},
    "expected_output_format": {"type": ["string", "null"]},
    "provider": {"type": "string"},
    "output": {"enum": ["text", "full"], "default": "text", "description": "full: {output, model, cost, usage, temperature_used}."},
    "timeout": {"type": ["number", "string", "null"], "description": "Seconds or a duration for one attempt, default 10m."},
    "retry": {"type": ["object", "boolean", "null"]},
    "idempotency": {"enum": ["per_task", "per_attempt"], "default": "per_task"}
  }
}`
