package definition

import (
	"regexp"
	"strings"

	"quipu/commands/sealing"
)

// EvaluatedAt reports whether templates are evaluated at a place of a graph: in the configs of its
// nodes, and nowhere else.
func EvaluatedAt(pointer string) bool {
	tokens := strings.SplitN(pointer, "/", 6) // "", nodes, 0, data, config, …
	switch {
	case len(tokens) < 5 || tokens[1] != "nodes":
		return false
	case tokens[3] == "config":
		return true
	}
	return len(tokens) == 6 && tokens[3] == "data" && tokens[4] == "config"
}

var (
	evaluated = regexp.MustCompile(`(?s)\{\{(.*?)\}\}`)
	// lookup is a literal that names something: input["key"], input.get("key").
	lookup  = regexp.MustCompile(`\[\s*(?:"[^"\\]*"|'[^'\\]*')\s*\]|\.get\(\s*(?:"[^"\\]*"|'[^'\\]*')`)
	literal = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'`)
)

// schemes stand before a secret without being one.
var schemes = map[string]bool{"bearer": true, "basic": true, "token": true, "digest": true, "apikey": true, "key": true}

// holdsLiteral reports whether a text with templates, in the place of a secret, holds so much text of
// its own that it may be a secret: such a text stays readable.
func holdsLiteral(text string) bool {
	n := 0
	for _, w := range strings.Fields(evaluated.ReplaceAllString(text, " ")) {
		if !schemes[strings.ToLower(w)] {
			n += len(w)
		}
	}
	for _, m := range evaluated.FindAllStringSubmatch(text, -1) {
		for _, l := range literal.FindAllStringSubmatch(lookup.ReplaceAllString(m[1], " "), -1) {
			if s := l[1] + l[2]; !schemes[strings.ToLower(strings.TrimSpace(s))] {
				n += len(s)
			}
		}
	}
	return n >= sealing.KnownBytesMin
}
