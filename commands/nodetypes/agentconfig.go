package nodetypes

import (
	"encoding/json"
	"net/url"
	"strings"

	"quipu/commands/node"
)

// agentConfig is params.config of the agent types.
type agentConfig struct {
	modelConfig
	name, id, userID, sessionID string
	system, format, provider    string
	apiURL                      *url.URL
	full                        bool
}

func readAgentConfig(params json.RawMessage, resolved bool) (agentConfig, []node.Fault) {
	r := reader{params: params, resolved: resolved}
	c := agentConfig{modelConfig: modelConfig{keyAt: "/config/api_key"}}
	if r.has("/config") {
		r.members("/config")
	}
	for _, f := range []struct {
		name string
		into *string
	}{
		{"agent_name", &c.name},
		{"agent_id", &c.id},
		{"user_id", &c.userID},
		{"session_id", &c.sessionID},
		{"api_key", &c.key},
		{"model", &c.model},
		{"provider", &c.provider},
		{"system_instructions", &c.system},
		{"expected_output_format", &c.format},
	} {
		*f.into, _ = r.text("/config/" + f.name)
	}
	c.apiURL = r.optionalURL("/config/api_url")
	c.full = r.choice("/config/output", "text", "full") == "full"
	r.model(&c.modelConfig)
	return c, r.faults
}

// model reads what all types that ask models have in their config, but for key and model.
func (r *reader) model(c *modelConfig) {
	c.baseURL = r.optionalURL("/config/base_url")
	c.temperature, c.hasTemperature = r.number("/config/temperature", 0, 2)
	c.perAttempt = r.choice("/config/idempotency", "per_task", "per_attempt") == "per_attempt"
	c.timeout = r.timeout("/config/timeout")
	c.stream = r.boolean("/config/stream", true)
}

// boolean reads true or false, also as a text, as templates give it.
func (r *reader) boolean(pointer string, fallback bool) bool {
	s, ok := r.scalar(pointer)
	if !ok {
		return fallback
	}
	switch strings.ToLower(s) {
	case "true":
		return true
	case "false":
		return false
	}
	r.fault(pointer, "must be true or false")
	return fallback
}

// instructions are what the model is told of its part.
func (c agentConfig) instructions() string {
	if c.format == "" {
		return c.system
	}
	return strings.TrimSpace(c.system + "\n\nExpected output format: " + c.format)
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
    "expected_output_format": {"type": ["string", "null"], "description": "Told to the model behind the instructions."},
    "provider": {"type": "string", "default": "openai", "description": "Any OpenAI-compatible API is asked alike; deterministic asks the built-in provider."},
    "stream": {"type": ["boolean", "string", "null"], "default": true, "description": "Ask for the answer piece by piece, so that live readers see it grow."},
    "output": {"enum": ["text", "full"], "default": "text", "description": "full: {output, model, cost, usage, temperature_used}."},
    "timeout": {"type": ["number", "string", "null"], "description": "Seconds or a duration for one attempt, default 10m."},
    "retry": {"type": ["object", "boolean", "null"]},
    "idempotency": {"enum": ["per_task", "per_attempt"], "default": "per_task"}
  }
}`
