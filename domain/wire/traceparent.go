package wire

import (
	"bytes"
	"strings"
)

// TraceparentBytes is the length of a trace context as Quipu passes it on.
const TraceparentBytes = 55

// Traceparent returns a copy of s if it is a W3C trace context of the known form (version, trace
// id, parent id and flags in lower-case hex), and "" otherwise: by the standard an invalid one is
// treated as if none had been sent.
//
// Source: https://www.w3.org/TR/trace-context/, section 3.2.
func Traceparent(s string) string {
	if len(s) != TraceparentBytes || s[2] != '-' || s[35] != '-' || s[52] != '-' || strings.Count(s, "-") != 3 || strings.Trim(s, "0123456789abcdef-") != "" {
		return ""
	}
	// Ids of zeros and version ff are invalid by the standard.
	if s[:2] == "ff" || strings.Trim(s[3:35], "0") == "" || strings.Trim(s[36:52], "0") == "" {
		return ""
	}
	return strings.Clone(s)
}

var traceparentKey = []byte(`"traceparent":"`)

// DecodeTraceparent reads the trace context alone out of metadata, without decoding the rest; "" if
// there is none. It looks for the key as Seal writes it, which no text within the metadata can
// hold: its quotes would be escaped there.
func DecodeTraceparent(metadata []byte) string {
	i := bytes.Index(metadata, traceparentKey)
	if i < 0 {
		return ""
	}
	rest := metadata[i+len(traceparentKey):]
	if len(rest) <= TraceparentBytes || rest[TraceparentBytes] != '"' {
		return ""
	}
	return Traceparent(string(rest[:TraceparentBytes]))
}
