package rawjson

import "strings"

// ClipBytesMax is how much of what somebody sent is quoted back to them.
const ClipBytesMax = 64

// Clip shortens a text for a message: its first ClipBytesMax bytes, cut between characters, and "…". What is
// not UTF-8 shows as U+FFFD.
func Clip(s string) string {
	if len(s) > ClipBytesMax {
		s = strings.ToValidUTF8(s[:ClipBytesMax], "") + "…"
	}
	return strings.ToValidUTF8(s, "\ufffd")
}
