package nodetypes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// deterministicModel is the model name reported by the built-in provider.
const deterministicModel = "deterministic"

const echoBytesMax = 160

// deterministicReply is the answer of the built-in provider, used when no model is configured:
//
//	<agent> (deterministic <12 hex>): <first line of the message, at most 160 bytes>
//
// The hex digits begin SHA-256(agent NUL message), so the answer depends on every byte of the
// message and on nothing else. The form is stored in logs and pinned by a golden test: a change
// makes replays of demos differ, so it is never made.
func deterministicReply(agent, message string) string {
	sum := sha256.Sum256([]byte(agent + "\x00" + message))
	first, _, cut := strings.Cut(message, "\n")
	if len(first) > echoBytesMax {
		n := echoBytesMax
		for n > 0 && !utf8.RuneStart(first[n]) {
			n--
		}
		first, cut = first[:n], true
	}
	if cut {
		first += " …"
	}
	return fmt.Sprintf("%s (deterministic %s): %s", agent, hex.EncodeToString(sum[:6]), first)
}
