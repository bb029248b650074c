package sealing

import "strings"

// Scrub returns s with every known secret of the run replaced by its mask, for error messages,
// URLs and log lines. Secrets shorter than KnownBytesMin are masked only if they are all of s.
// Encoded secrets are masked in place; of base64 the whole word around is masked. If after that
// a secret could still be read, the result is one mask.
func (r *Run) Scrub(s string) string {
	if len(r.known.texts) == 0 || s == "" {
		return s
	}
	if fp, ok := r.known.texts[s]; ok {
		return MaskOf(fp)
	}
	if !r.known.holds(s) {
		return s
	}
	for range scrubRoundsMax {
		s = r.known.scrubOnce(s)
		if !r.known.holds(s) {
			return s
		}
	}
	return MaskOf(r.fingerprint(s))
}

// scrubRoundsMax bounds the rounds of Scrub; each undoes one way of encoding.
const scrubRoundsMax = 8

// scrubOnce masks the secrets in the first decoding of s that shows any.
func (k *known) scrubOnce(s string) string {
	out := s
	decodings(tracked(s), func(t text) bool {
		var b strings.Builder
		done := 0 // offset in s
		for from := 0; ; {
			p, start, ok := k.matcher.find(t.s, from)
			if !ok {
				break
			}
			end := start + len(p.text)
			if p.base64 {
				start, end = base64Word(t.s, start, end)
			}
			from = end
			if t.at[start] < done { // the word reaches back into the one before
				start = end
			} else {
				b.WriteString(s[done:t.at[start]])
				b.WriteString(MaskOf(k.needles[p.needle].fp))
			}
			done = t.at[end]
		}
		if done == 0 {
			return true
		}
		b.WriteString(s[done:])
		out = b.String()
		return false
	})
	return out
}

// base64Word widens [start, end) to the whole run of base64 characters.
func base64Word(s string, start, end int) (int, int) {
	for start > 0 && base64Char(s[start-1]) {
		start--
	}
	for end < len(s) && base64Char(s[end]) {
		end++
	}
	return start, end
}

func base64Char(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '+' || c == '/' || c == '-' || c == '_' || c == '='
}
