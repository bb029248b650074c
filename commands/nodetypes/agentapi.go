package nodetypes

import (
	"bytes"
	"context"
	"net/http"

	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/rawjson"
)

// askAgentAPI asks an agent behind an api_url as LAO does (contract A.3): POST with header x-api-key
// and {user_id, agent_id, session_id, message, [assets]}; the answer's field "response" is the
// agent's, a string as a rule, other JSON as it is.
func (d Deps) askAgentAPI(ctx context.Context, call node.Call, cfg agentConfig, message string) (answer, map[string]any, *node.Failure) {
	session := cfg.sessionID
	if session == "" {
		session = call.RunID
	}
	var body domain.Object
	body.Add("user_id", domain.Text(cfg.userID))
	body.Add("agent_id", domain.Text(cfg.id))
	body.Add("session_id", domain.Text(session))
	body.Add("message", domain.Text(message))
	if assets, ok := rawjson.Get(call.Params, "/assets"); ok && len(rawjson.Items(assets)) > 0 {
		body.Add("assets", domain.Raw(assets))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, cfg.apiURL.String(), bytes.NewReader(body.Value().JSON))
	if err != nil {
		return answer{}, nil, configFailure(node.Fault{Pointer: "/config/api_url", Message: "gives no valid request"})
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if problem := checkHeader("x-api-key", cfg.key); problem != "" {
		return answer{}, nil, configFailure(node.Fault{Pointer: "/config/api_key", Message: problem})
	}
	if cfg.key != "" {
		req.Header.Set("x-api-key", cfg.key)
	}
	mark(req.Header, call, cfg.perAttempt)
	got, details, failure := d.exchange(req)
	details["provider"] = "agent_api"
	if failure != nil {
		return answer{}, details, failure
	}
	if rawjson.Check(got.body, domain.JSONDepthMax-1) == nil {
		if response, ok := rawjson.Get(got.body, "/response"); ok {
			return answer{output: response, model: cfg.model}, details, nil
		}
	}
	return answer{}, details, badReply(req.Method+" "+shown(req.URL), "the answer is no JSON object with a field response", got.body, details)
}

// badReply is the failure of a call that was done but answered something else than promised.
func badReply(what, why string, body []byte, details map[string]any) *node.Failure {
	f := node.Failf("ReplyError", codeBadReply, false, "%s: %s", what, why)
	excerpt := rawjson.AppendString([]byte(`{"body":`), clip(string(body[:min(len(body), ExcerptBytesMax+1)]), ExcerptBytesMax))
	f.Details = append(excerpt, '}')
	f.CallDetails = details
	return f
}
