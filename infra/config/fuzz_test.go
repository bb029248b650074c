package config

import (
	"crypto/sha256"
	"strings"
	"testing"
)

// A key in the wrong place is still a key: no problem repeats any of the text, and what is accepted opens
// with what was written.
func FuzzParseAPIKeys(f *testing.F) {
	for _, s := range []string{
		"", "ops:0123456789abcdef", "ops:sha256:" + strings.Repeat("ab", 32), "ops:short", "0123456789abcdef", ":,:,", "a:0123456789abcdef,b:0123456789abcdef",
		"é:0123456789abcdef", "a:0123456789abcdef\x00", strings.Repeat("a:0123456789abcdef,", 120), "a:sha256:zz",
	} {
		f.Add(s, uint16(len(s)))
		f.Add(s, uint16(1))
	}
	f.Fuzz(func(t *testing.T, text string, at uint16) {
		const secret = "Zq7-Zq7-Zq7-Zq7-Zq7"
		where := int(at) % (len(text) + 1)
		text = text[:where] + secret + text[where:]
		keys, problems := parseAPIKeys(text)
		if len(keys) > apiKeysMax || len(keys)+len(problems) > 2+strings.Count(text, ",") {
			t.Fatalf("%q: %d keys, %d problems", text, len(keys), len(problems))
		}
		if len(keys)+len(problems) == 0 {
			t.Fatalf("%q is passed over", text)
		}
		if strings.Contains(problems.Error(), "Zq7") {
			t.Fatalf("%q: %v", text, problems)
		}
		for _, k := range keys {
			if !apiKeyNameOK(k.Name) || k.Plain != "" && sha256.Sum256([]byte(k.Plain.Reveal())) != k.SHA256 {
				t.Fatalf("%+v", k)
			}
		}
	})
}
