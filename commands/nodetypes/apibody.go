package nodetypes

import (
	"encoding/json"
	"net/http"
	"strings"

	"quipu/domain"
	"quipu/domain/rawjson"
)

func (r *apiReader) setBody(name string, value json.RawMessage) {
	for i := range r.fields {
		if r.fields[i].name == name {
			r.fields[i].value = value
			return
		}
	}
	r.fields = append(r.fields, bodyField{name, value})
}

func (r *apiReader) readBody() {
	at := r.at("body")
	raw, given := r.get(at)
	if given && rawjson.KindOf(raw) == rawjson.Null && len(r.fields) == 0 {
		return
	}
	switch {
	case given && len(r.fields) > 0:
		if !r.resolved && unresolved(raw) || rawjson.KindOf(raw) == rawjson.Null {
			raw = nil
		} else if rawjson.KindOf(raw) != rawjson.Object {
			r.fault(at, "must be an object where BODY_ fields are set in it")
			return
		}
		raw = r.setFields(rawjson.Members(raw))
	case given:
	case len(r.fields) > 0 || r.out.method != http.MethodGet && r.out.method != http.MethodHead:
		var siblings []rawjson.Member
		for _, m := range rawjson.Members(r.params) {
			if m.Key != "config" && !isMapping(m) {
				siblings = append(siblings, m)
			}
		}
		if r.out.method == http.MethodGet || r.out.method == http.MethodHead {
			siblings = nil
		}
		if len(siblings)+len(r.fields) == 0 {
			return
		}
		raw = r.setFields(siblings)
	default:
		return
	}
	r.out.hasBody = true
	r.out.body, r.out.contentType = encodeBody(raw, r.contentType())
}

// setFields renders members with the BODY_ fields set in them.
func (r *apiReader) setFields(members []rawjson.Member) json.RawMessage {
	for _, f := range r.fields {
		replaced := false
		for i := range members {
			if members[i].Key == f.name {
				members[i].Value, replaced = f.value, true
			}
		}
		if !replaced {
			members = append(members, rawjson.Member{Key: f.name, Value: f.value})
		}
	}
	var o domain.Object
	for _, m := range members {
		o.Add(m.Key, domain.Raw(m.Value))
	}
	return o.Value().JSON
}

// contentType is the one the definition gives.
func (r *apiReader) contentType() string {
	given := ""
	for _, h := range r.out.headers {
		if strings.EqualFold(h.name, "Content-Type") {
			given = h.value
		}
	}
	return given
}

// encodeBody renders a body: texts as they are, objects as a form where the definition says so,
// everything else as JSON. The type is the one to send if the definition gives none.
func encodeBody(raw json.RawMessage, given string) (body []byte, contentType string) {
	if s, ok := text(raw); ok {
		kind := rawjson.KindOf([]byte(s))
		if (kind == rawjson.Object || kind == rawjson.Array) && rawjson.Check([]byte(s), domain.JSONDepthMax) == nil {
			return []byte(s), "application/json"
		}
		return []byte(s), "text/plain; charset=utf-8"
	}
	if mediaType(given) == "application/x-www-form-urlencoded" && rawjson.KindOf(raw) == rawjson.Object {
		var parts []string
		for _, m := range rawjson.Members(raw) {
			parts = append(parts, pair{m.Key, plain(m.Value)}.encode())
		}
		return []byte(strings.Join(parts, "&")), given
	}
	return raw, "application/json"
}

func mediaType(contentType string) string {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(kind))
}
