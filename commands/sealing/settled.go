package sealing

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Settled returns the length of the beginning of s that can be shown, scrubbed, while the text goes
// on behind s: no known secret reaches over its end, neither one that s holds nor one that s only
// begins, in any encoding that Scrub knows. What remains is to be asked about again with what follows,
// and scrubbed and shown when nothing does.
//
// start says that nothing of the text has been shown yet, so that it may still turn out to be a
// secret too short to be looked for inside others. s is valid UTF-8. With secrets known, text is
// settled word by word.
func (r *Run) Settled(s string, start bool) int {
	if len(r.known.texts) == 0 {
		return len(s)
	}
	if start {
		for text := range r.known.texts {
			if strings.HasPrefix(text, s) {
				return 0
			}
		}
	}
	n := r.known.open(s)
	for n > 0 && !between(s, n) {
		n--
	}
	if n > 0 && n < len(s) && r.Scrub(s[:n])+r.Scrub(s[n:]) != r.Scrub(s) {
		return 0
	}
	return n
}

// between tells whether no encoding of a secret reaches over offset n of s but one that spells its
// white space or its characters beyond ASCII out: half an escape is never cut off.
func between(s string, n int) bool {
	last, _ := utf8.DecodeLastRuneInString(s[:n])
	if n < len(s) {
		if !utf8.RuneStart(s[n]) {
			return false
		}
		if s[n] >= utf8.RuneSelf {
			return true
		}
	}
	return last >= utf8.RuneSelf || unicode.IsSpace(last)
}

// open returns the least offset in s at which something begins that may become a secret behind its
// end; len(s) if nothing does.
func (k *known) open(s string) int {
	least := len(s)
	decodings(tracked(s), func(t text) bool {
		for _, list := range k.matcher.heads {
			for i := range list {
				if start := unfinished(t.s, list[i].text); start < len(t.s) {
					if list[i].base64 {
						start, _ = base64Word(t.s, start, start)
					}
					least = min(least, t.at[start])
				}
			}
		}
		return true
	})
	return least
}

// unfinished returns where the longest end of s starts that is a beginning of pattern, but not all of
// it; len(s) if there is none.
func unfinished(s, pattern string) int {
	for n := min(len(s), len(pattern)-1); n > 0; n-- {
		if s[len(s)-n] == pattern[0] && s[len(s)-n:] == pattern[:n] {
			return len(s) - n
		}
	}
	return len(s)
}
