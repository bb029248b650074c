package node

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// classRunesPerStep is how many bounds of a character class count as a step: \pL has over a thousand.
const classRunesPerStep = 8

// boundedPattern compiles patterns of schemas, and texts of which a schema says that they are some. The
// library's own compiler lets a thousand bytes become a hundred megabytes.
func boundedPattern(text string) (jsonschema.Regexp, error) {
	if _, err := patternSize(text); err != nil {
		return nil, err
	}
	return regexp.Compile(text)
}

// patternSize estimates the steps of a pattern without writing its repetitions out.
func patternSize(text string) (int, error) {
	if len(text) > PatternBytesMax {
		return 0, fmt.Errorf("has a pattern of %d bytes, at most %d are allowed", len(text), PatternBytesMax)
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return 0, errors.New("has a pattern that is no valid regular expression (RE2)")
	}
	size := stepsOf(parsed)
	if size > PatternSizeMax {
		return 0, fmt.Errorf("has a pattern of more than %d steps with its repetitions written out; repeat less", PatternSizeMax)
	}
	return size, nil
}

// stepsOf counts at most a little over PatternSizeMax.
func stepsOf(r *syntax.Regexp) int {
	n := 1 + len(r.Rune)
	if r.Op == syntax.OpCharClass {
		n = 1 + len(r.Rune)/classRunesPerStep
	}
	for _, sub := range r.Sub {
		n = min(n+stepsOf(sub), PatternSizeMax+1)
	}
	if r.Op == syntax.OpRepeat {
		n *= max(r.Min, r.Max, 1)
	}
	return min(n, PatternSizeMax+1)
}
