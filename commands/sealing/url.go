package sealing

import (
	"net/url"
	"strings"
)

// inQuery returns the values in a URL's query whose names are secret keys: the x of
// https://host/path?api_key=x. Text that is no URL has none, nor has a value with a template, which is
// a program until it is evaluated. Values too short to be looked for elsewhere count: their URL is
// sealed.
func inQuery(text string) []string {
	if !strings.HasPrefix(text, "https://") && !strings.HasPrefix(text, "http://") {
		return nil
	}
	_, query, found := strings.Cut(text, "?")
	if !found {
		return nil
	}
	query, _, _ = strings.Cut(query, "#")
	var out []string
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(pair, "=")
		if value == "" || strings.Contains(value, "{{") {
			continue
		}
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if !SecretKey(name) {
			continue
		}
		if plain, err := url.QueryUnescape(value); err == nil {
			value = plain
		}
		out = append(out, value)
	}
	return out
}
