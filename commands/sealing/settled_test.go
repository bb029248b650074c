package sealing_test

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func knowing(secrets ...string) session {
	s := newSession()
	s.Know(secrets...)
	return s
}

// Whatever the pieces a text comes in, what is shown of it piece by piece holds no secret, however
// written, and is as a whole what Scrub makes of all of it.
func TestSettled_NoPieceShowsASecret(t *testing.T) {
	secrets := []string{"sk-live-0123456789abcdef", "correct horse battery staple", "pässwörd/with?signs&more", "abcd"}
	spell := []func(string) string{
		func(s string) string { return s },
		url.QueryEscape,
		url.PathEscape,
		func(s string) string { return url.PathEscape(url.PathEscape(s)) },
		func(s string) string { return base64.StdEncoding.EncodeToString([]byte("user:" + s)) },
		func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
		func(s string) string {
			b, _ := jsonMarshal(s)
			return strings.Trim(string(b), `"`)
		},
	}
	rapid.Check(t, func(t *rapid.T) {
		run := knowing(secrets...)
		var text strings.Builder
		hidden := map[string]bool{}
		for range rapid.IntRange(1, 8).Draw(t, "parts") {
			if rapid.Bool().Draw(t, "secret") {
				secret := rapid.SampledFrom(secrets[:3]).Draw(t, "which")
				written := rapid.SampledFrom(spell).Draw(t, "spelling")(secret)
				hidden[written] = true
				text.WriteString(written)
			} else {
				text.WriteString(rapid.SampledFrom([]string{" ", "s", "sk-live", " correct horse ", "Wort ", "日本語", "\n", "%", "\\", "c2st", "+", ", and then "}).Draw(t, "filler"))
			}
		}
		all := text.String()
		var shown strings.Builder
		held, started := "", false
		for rest := all; rest != ""; {
			n := rapid.IntRange(1, min(len(rest), 7)).Draw(t, "piece")
			for n < len(rest) && rest[n]&0xc0 == 0x80 {
				n++
			}
			held, rest = held+rest[:n], rest[n:]
			if n := run.Settled(held, !started); n > 0 {
				shown.WriteString(run.Scrub(held[:n]))
				held, started = held[n:], true
			}
		}
		shown.WriteString(run.Scrub(held))
		for written := range hidden {
			require.NotContains(t, shown.String(), written)
		}
		for _, secret := range secrets[:3] {
			require.NotContains(t, shown.String(), secret)
		}
		require.Equal(t, run.Scrub(shown.String()), shown.String(), "nothing of what was shown is left to mask")
	})
}

func TestSettled_ShowsWhatItCan(t *testing.T) {
	require.Equal(t, 5, knowing().Settled("plain", true), "nothing is known: nothing is held back")
	run := knowing("sk-live-0123456789abcdef", "abcd")
	for s, want := range map[string]string{
		"The answer is ":              "The answer is ",
		"The answer i":                "The answer ",
		"The key is sk-":              "The key is ",
		"is sk-live-0123456789abcdef": "is ",
		"sk-live-0123456789abcdef ":   "sk-live-0123456789abcdef ",
		"日本語":                         "日本語",
		"日本sk":                        "日本",
		"ab":                          "",
		"abcd":                        "",
		"abcde ":                      "abcde ",
	} {
		require.Equal(t, want, s[:run.Settled(s, true)], s)
	}
	require.Equal(t, "ab ", "ab "[:run.Settled("ab ", false)])
}
