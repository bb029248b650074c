package sealing

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// known are the secret texts of one run.
type known struct {
	texts   map[string]string // decoded text -> fingerprint; matched by equality at any length
	needles []needle          // looked for inside strings; none holds another
	matcher matcher
}

type needle struct{ text, fp string }

// add makes text a known secret, and what it carries: the x of "Bearer x", of a URL "…?api_key=x".
func (k *known) add(text, fp string, fingerprint func(string) string) {
	if _, ok := k.texts[text]; ok || text == "" {
		return
	}
	if k.texts == nil {
		k.texts = make(map[string]string)
	}
	k.texts[text] = fp
	if len(text) < KnownBytesMin || placeholder(text) {
		return
	}
	k.addNeedle(needle{text, fp})
	for _, d := range carried(text) {
		if len(d) >= KnownBytesMin {
			k.add(d, fingerprint(d), fingerprint)
		}
	}
}

// addNeedle keeps the needles minimal: a text that holds another needle is found by that one
// anyway. So the set does not depend on the order in which secrets became known.
func (k *known) addNeedle(n needle) {
	if k.holds(n.text) {
		return
	}
	var alone matcher
	alone.add(n.text, 0)
	kept := k.needles[:0:0]
	for _, old := range k.needles {
		if !holds(&alone, old.text) {
			kept = append(kept, old)
		}
	}
	dropped := len(kept) < len(k.needles)
	k.needles = append(kept, n)
	if !dropped {
		k.matcher.add(n.text, len(k.needles)-1)
		return
	}
	k.matcher = matcher{}
	for i, n := range k.needles {
		k.matcher.add(n.text, i)
	}
}

// holds reports whether s holds a needle in any of the encodings.
func (k *known) holds(s string) bool {
	return len(k.needles) > 0 && holds(&k.matcher, s)
}

func holds(m *matcher, s string) bool {
	if len(s) < KnownBytesMin {
		return false
	}
	return !decodings(text{s: s}, func(t text) bool {
		_, _, found := m.find(t.s, 0)
		return !found
	})
}

// secret reports whether s equals a known secret or holds one.
func (k *known) secret(s string) bool {
	if len(k.texts) == 0 || s == "" {
		return false
	}
	if _, ok := k.texts[s]; ok {
		return true
	}
	return k.holds(s)
}

var schemes = map[string]bool{
	"bearer": true, "basic": true, "token": true, "apikey": true, "api-key": true, "key": true,
}

// carried returns the secrets inside a secret: its trimmed form, those in a URL's query, the credentials
// after an authorization scheme, and of Basic also user:password and the password.
func carried(secret string) []string {
	out := inQuery(secret)
	trimmed := strings.TrimSpace(secret)
	if trimmed != secret {
		out = append(out, trimmed)
	}
	scheme, rest, found := strings.Cut(trimmed, " ")
	scheme = strings.ToLower(scheme)
	if !found || !schemes[scheme] {
		return out
	}
	rest = strings.TrimSpace(rest)
	out = append(out, rest)
	if scheme != "basic" {
		return out
	}
	pair, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(rest, "="))
	if err != nil || !utf8.Valid(pair) {
		return out
	}
	out = append(out, string(pair))
	if _, password, ok := strings.Cut(string(pair), ":"); ok {
		out = append(out, password)
	}
	return out
}
