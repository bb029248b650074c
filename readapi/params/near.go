package params

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of the search for names that were nearly right.
const (
	// NearMax is how many Near tells of.
	NearMax       = 5
	nearBytesMax  = 64 // longer names are nobody's typing mistake
	nearLengthMin = 4  // of the name that is meant: shorter ones are near to everything
)

// Near says which names of s are no parameter but nearly one of known, a sentence each, in order: who
// mistypes a filter would take everything for what was asked for. Names that resemble none are ignored.
func Near(s Set, known []Param) []string {
	var out []string
	for name := range s {
		if len(name) > nearBytesMax || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) ||
			slices.ContainsFunc(known, func(p Param) bool { return p.Name == name }) {
			continue
		}
		best, meant := 3, ""
		for _, p := range known {
			if d := distance(name, p.Name); d < best && d <= typos(p.Name) {
				best, meant = d, p.Name
			}
		}
		if meant != "" {
			out = append(out, fmt.Sprintf("%s is no parameter and was ignored; did you mean %s?", name, meant))
		}
	}
	slices.Sort(out)
	return out[:min(len(out), NearMax)]
}

// typos is how many mistakes still make a name recognisable.
func typos(name string) int {
	switch {
	case len(name) < nearLengthMin:
		return 0
	case len(name) < 6:
		return 1
	}
	return 2
}

// distance is how many bytes are to be put in, taken out, exchanged for another or swapped with their
// neighbour to make b of a, with no byte touched twice.
func distance(a, b string) int {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			other := 1
			if a[i-1] == b[j-1] {
				other = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+other)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
