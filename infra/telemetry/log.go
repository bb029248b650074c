package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"unicode"
)

// mask stands for a redacted value.
const mask = "***"

// NewLogger returns a logger that writes to w: format text or json, lines of at least level debug,
// info, warn or error. Times are UTC with milliseconds. Attributes whose key says that they hold a
// secret (see SecretKey) are written as ***, as are such keys inside groups, headers and maps.
// Errors: an unknown level or format.
//
// Levels: error, someone must act; warn, something was given up or cut; info, a part of the process
// started, stopped or changed state; debug, everything else. Payloads are never logged.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	opts := &slog.HandlerOptions{ReplaceAttr: replace}
	switch level {
	case "debug":
		opts.Level = slog.LevelDebug
	case "info":
		opts.Level = slog.LevelInfo
	case "warn":
		opts.Level = slog.LevelWarn
	case "error":
		opts.Level = slog.LevelError
	default:
		return nil, fmt.Errorf("log level %q is not one of debug, info, warn, error", level)
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	default:
		return nil, fmt.Errorf("log format %q is not one of text, json", format)
	}
}

// timeLayout has a fixed width, so that lines align and sort.
const timeLayout = "2006-01-02T15:04:05.000Z"

func replace(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		return slog.String(a.Key, a.Value.Time().UTC().Format(timeLayout))
	}
	for _, g := range groups {
		if SecretKey(g) {
			return slog.String(a.Key, mask)
		}
	}
	if SecretKey(a.Key) {
		return slog.String(a.Key, mask)
	}
	if a.Value.Kind() == slog.KindAny {
		if clean, ok := cleaned(a.Value.Any()); ok {
			return slog.Any(a.Key, clean)
		}
	}
	return a
}

// cleaned returns a copy of the kinds of map that tend to hold headers and settings, with secrets
// masked; false for any other value.
func cleaned(value any) (any, bool) {
	switch m := value.(type) {
	case http.Header:
		return cleanMap(m, []string{mask}), true
	case map[string][]string:
		return cleanMap(m, []string{mask}), true
	case map[string]string:
		return cleanMap(m, mask), true
	case map[string]any:
		out := cleanMap(m, any(mask))
		for k, v := range out {
			if inner, ok := cleaned(v); ok {
				out[k] = inner
			}
		}
		return out, true
	}
	return nil, false
}

func cleanMap[V any](m map[string]V, masked V) map[string]V {
	out := make(map[string]V, len(m))
	for k, v := range m {
		if SecretKey(k) {
			v = masked
		}
		out[k] = v
	}
	return out
}

// secretWords are the words, and pairs of adjacent words, that make a key a secret's.
var secretWords = map[string]bool{
	"authorization": true, "password": true, "passwd": true, "secret": true, "token": true,
	"credential": true, "credentials": true, "cookie": true, "apikey": true,
	"api key": true, "private key": true, "master key": true, "websocket protocol": true,
}

// SecretKey reports whether key says, by its whole words, that its value is a secret: api_key,
// Authorization, openaiApiKey, x-api-key, Sec-WebSocket-Protocol (which carries a browser's key),
// but not max_tokens.
func SecretKey(key string) bool {
	last := ""
	for _, word := range words(key) {
		if secretWords[word] || secretWords[last+" "+word] {
			return true
		}
		last = word
	}
	return false
}

// words splits a key at everything but letters and digits and where camel case turns upward, and
// lowers the parts. WebSocket, in any case, counts as one word.
func words(key string) []string {
	var out []string
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			out = append(out, strings.ToLower(b.String()))
			b.Reset()
		}
	}
	runes := []rune(strings.ReplaceAll(key, "WebSocket", "Websocket"))
	for i, r := range runes {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			flush()
			continue
		}
		if unicode.IsUpper(r) && i > 0 {
			afterLower := unicode.IsLower(runes[i-1]) || unicode.IsDigit(runes[i-1])
			endsAcronym := unicode.IsUpper(runes[i-1]) && i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if afterLower || endsAcronym {
				flush()
			}
		}
		b.WriteRune(r)
	}
	flush()
	return out
}
