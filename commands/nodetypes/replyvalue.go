package nodetypes

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// fullDepth is what {status_code, headers, body} nests around a body.
const fullDepth = 1

// output renders a reply: its body, or with "full" {status_code, headers, body}.
func (r *apiRequest) output(got reply, details map[string]any) json.RawMessage {
	body, refused := replyValue(got.header, got.body)
	if refused {
		details["reply_json_refused"] = true
	}
	if !r.full {
		return body
	}
	var o domain.Object
	o.Add("status_code", domain.Raw([]byte(strconv.Itoa(got.status))))
	o.Add("headers", headerObject(got.header))
	o.Add("body", domain.Raw(body))
	return o.Value().JSON
}

// headerObject renders headers sorted, names in lower case. Cookies are left out: they are
// secrets of the far side's making, which nothing would mask.
func headerObject(h http.Header) domain.Value {
	names := make([]string, 0, len(h))
	for name := range h {
		if name != "Set-Cookie" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	var o domain.Object
	for _, name := range names {
		o.Add(strings.ToLower(name), domain.Text(strings.Join(h[name], ", ")))
	}
	return o.Value()
}

// replyValue turns a body into JSON. Nothing of it is lost:
//   - an empty body is null;
//   - JSON that rawjson accepts is kept as written, whatever its declared type;
//   - other text is a string, ISO 8859-1 being converted where it is declared;
//   - bytes that are no UTF-8 are {"content_type", "base64"}.
//
// refused says that a body declared as JSON was not acceptable (syntax, duplicate keys, nested too
// deep) and stands as a string: the call was made, so failing the attempt would only repeat it.
func replyValue(h http.Header, body []byte) (out json.RawMessage, refused bool) {
	body = rawjson.Trim(bytes.TrimPrefix(body, []byte("\ufeff")))
	if len(body) == 0 {
		return json.RawMessage("null"), false
	}
	if rawjson.Check(body, domain.JSONDepthMax-fullDepth) == nil {
		return body, false
	}
	kind := h.Get("Content-Type")
	media := mediaType(kind)
	refused = media == "application/json" || strings.HasSuffix(media, "+json")
	if utf8.Valid(body) {
		return rawjson.Quote(string(body)), refused
	}
	if _, params, err := mime.ParseMediaType(kind); err == nil && strings.EqualFold(params["charset"], "iso-8859-1") {
		text := make([]rune, len(body))
		for i, c := range body {
			text[i] = rune(c)
		}
		return rawjson.Quote(string(text)), refused
	}
	var o domain.Object
	o.Add("content_type", domain.Text(kind))
	o.Add("base64", domain.Text(base64.StdEncoding.EncodeToString(body)))
	return o.Value().JSON, refused
}
