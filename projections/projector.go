package projections

import (
	"strings"
	"unicode/utf8"

	"quipu/projections/view"
)

// projector keeps one table. apply is a pure fold: it changes the rows of the batch, or gives an
// error and changes nothing, and the event is parked.
//
// A change to what apply makes of an event is a new version: the rows are then built anew beside
// the old ones.
type projector struct {
	name    string
	version int
	apply   func(*batch, *fact) error
}

// projectors in the order in which they see an event: the later ones read what the earlier ones
// made of it.
var projectors = []projector{
	{"approvals", 1, applyApproval},
	{"executions", 3, applyExecution},
	{"tasks", 2, applyTask},
	{"workflows", 1, applyWorkflow},
	{"names", 1, applyName},
	{"endpoints", 1, applyEndpoint},
	{"events", 2, applyEvent},
}

// Versions are the versions of the projectors of this build, by name.
func Versions() map[string]int {
	out := make(map[string]int, len(projectors))
	for _, p := range projectors {
		out[p.name] = p.version
	}
	return out
}

// reasonBytesMax bounds the reason kept with a parked event.
const reasonBytesMax = 1024

func park(projector string, f *fact, err error) view.Parked {
	return view.Parked{
		Projector: projector, Position: f.Position, Stream: f.Stream, Revision: f.Revision, Type: f.Type,
		Reason: cleanText(err.Error(), reasonBytesMax),
	}
}

// cleanText makes a text that every database stores: valid UTF-8 without NUL, at most max bytes.
func cleanText(s string, limit int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= limit {
		return s
	}
	s = s[:limit]
	for len(s) > 0 && !utf8.ValidString(s[max(0, len(s)-utf8.UTFMax):]) {
		s = s[:len(s)-1]
	}
	return s
}
