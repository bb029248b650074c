package nodetypes

import (
	"strings"
	"unicode"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// saidAt are where services put the sentence for people in a JSON object, as the usual frameworks and
// model providers do it.
var saidAt = []string{"/message", "/detail", "/error", "/error/message", "/detail/0/msg", "/title"}

// said is what an error reply tells people: a member of a JSON object if one of the usual ones is
// there, else the first line. It is one line of text, not shortened: secrets in it are found as a whole
// or not at all.
func said(body []byte) string {
	if rawjson.Check(body, domain.JSONDepthMax) == nil && rawjson.KindOf(body) == rawjson.Object {
		for _, at := range saidAt {
			if v, ok := rawjson.Get(body, at); ok && rawjson.KindOf(v) == rawjson.String {
				if text := oneLine(rawjson.Unquote(v)); text != "" {
					return text
				}
			}
		}
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return oneLine(line)
}

func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))
}
