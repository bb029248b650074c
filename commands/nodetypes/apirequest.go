package nodetypes

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"quipu/commands/node"
	"quipu/domain/rawjson"
)

// apiRequest is what an api_call's params ask for.
type apiRequest struct {
	method     string
	url        *url.URL
	headers    []pair
	query      []pair
	body       []byte
	hasBody    bool
	full       bool
	perAttempt bool
	timeout    time.Duration

	contentType string
	// unmapped is set if a mapped path leads nowhere.
	unmapped *node.Failure
}

type pair struct{ name, value string }

func (p pair) encode() string { return url.QueryEscape(p.name) + "=" + url.QueryEscape(p.value) }

// The prefixes of mapped and fixed fields (contract A.2).
const (
	bodyPrefix   = "BODY_"
	queryPrefix  = "QUERY_"
	headerPrefix = "HEADER_"
)

// apiReader builds an apiRequest out of params.
type apiReader struct {
	reader
	out      apiRequest
	layered  bool // config.default stands beside config
	upstream []node.Upstream
	fields   []bodyField // of the body, from BODY_x
}

type bodyField struct {
	name  string
	value json.RawMessage
}

// readAPIRequest reads params; resolved tells an attempt from the check of a definition, where
// what is not known yet is passed over.
//
// Fields come from config.default, then config, so that the latter wins; then BODY_x, QUERY_x and
// HEADER_x of both; then what mappings give. The body is config.body with BODY_x set in it; else,
// unless the method is GET or HEAD, the sibling params of config without mapping objects, with
// BODY_x set (contract D8); "body": null and no siblings both mean none. Without a method it is
// POST if there is a body and GET otherwise.
func readAPIRequest(params json.RawMessage, upstream []node.Upstream, resolved bool) (apiRequest, []node.Fault) {
	r := apiReader{reader: reader{params: params, resolved: resolved}, upstream: upstream}
	config, ok := rawjson.Get(params, "/config")
	if !ok || rawjson.KindOf(config) != rawjson.Object {
		r.fault("/config", "must be an object with url, method and headers")
		return r.out, r.faults
	}
	r.config = rawjson.Members(config)
	r.layered = r.has("/config/default")
	r.out.url = r.url(r.at("url"))
	if r.out.url == nil && !r.has(r.at("url")) {
		r.fault("/config/url", "is required")
	}
	method, _ := r.text(r.at("method"))
	if r.out.method = strings.ToUpper(strings.TrimSpace(method)); method != "" && (!isToken(r.out.method) || r.out.method == http.MethodConnect) {
		r.fault(r.at("method"), "is not a method that can be sent")
	}
	r.out.timeout = r.timeout("/config/timeout")
	if r.has("/config/depends") && !r.has("/config/mapping") {
		r.fault("/config/depends", "needs a mapping beside it that says what is taken of that task's output, such as {\"BODY_text\": \"response\"}; to order tasks only, use a param of its own or an edge")
		return r.out, r.faults
	}
	setting := "/config/output"
	if r.has("/config/mapping") { // there, config.output is the output that is mapped
		setting = "/config/default/output"
	}
	r.out.full = r.choice(setting, "body", "full") == "full"
	r.out.perAttempt = r.choice("/config/idempotency", "per_task", "per_attempt") == "per_attempt"

	if r.layered {
		r.readHeaders("/config/default/headers")
		r.readQuery("/config/default/query")
	}
	r.readHeaders("/config/headers")
	r.readQuery("/config/query")
	if r.layered {
		r.readFixed("/config/default")
	}
	r.readFixed("/config")
	r.readMapping("/config")
	for _, m := range rawjson.Members(params) {
		if isMapping(m) {
			r.readMapping("/" + rawjson.EscapeKey(m.Key))
		}
	}
	r.refuseMasks()
	r.readBody()
	if resolved && r.out.url == nil && len(r.faults) == 0 {
		r.fault(r.at("url"), "is required")
	}
	if r.out.method == "" {
		r.out.method = http.MethodGet
		if r.out.hasBody {
			r.out.method = http.MethodPost
		}
	}
	return r.out, r.faults
}

// at points to a field of config, or of config.default if only that has it.
func (r *apiReader) at(name string) string {
	if r.layered && r.has("/config/default/"+name) && !r.has("/config/"+name) {
		return "/config/default/" + name
	}
	return "/config/" + name
}

// refuseMasks lets no mask go out where it would stand for a secret: the far side would take it for one.
func (r *apiReader) refuseMasks() {
	if !r.resolved {
		return
	}
	for _, of := range []struct {
		place string
		pairs []pair
	}{{"headers", r.out.headers}, {"query", r.out.query}} {
		for _, p := range of.pairs {
			if maskWithin.MatchString(p.value) {
				r.fault("/config/"+of.place+"/"+rawjson.EscapeKey(p.name), "holds the mask of a secret; give it a name that says it is one, such as Authorization or api_key")
			}
		}
	}
}
