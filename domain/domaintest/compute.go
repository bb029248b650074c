package domaintest

import (
	"bytes"
	"errors"
	"hash/fnv"
	"strings"
	"time"

	"quipu/domain"
	"quipu/domain/run"
)

// At is the instant ms milliseconds after the epoch of all tests.
func At(ms int) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond)
}

// Compute evaluates the pure node types and conditions that tests use; deterministic.
//
//	node   pure: {"params":<bytes>}; pure_echo: its input; pure_big: a text beyond the inline bound;
//	       pure_fail: an error; pure_bad: bytes that are no JSON
//	gate   true, false, error; output: whether the output is true; any other text: a coin flipped by
//	       the text and the output
type Compute struct{}

// Big is a JSON text larger than domain.PayloadInlineBytesMax.
func Big(letter string) domain.Value {
	return domain.Text(strings.Repeat(letter, domain.PayloadInlineBytesMax))
}

// Node implements run.Compute.
func (Compute) Node(function string, input domain.Value, _ []run.Upstream, _ run.Scope) (domain.Value, error) {
	switch function {
	case "pure_echo":
		return input, nil
	case "pure_big":
		return Big("p"), nil
	case "pure_fail":
		return domain.Value{}, errors.New("cannot be computed")
	case "pure_bad":
		return domain.Raw([]byte(`{"cut":`)), nil
	}
	return domain.Raw([]byte(`{"pure":true}`)), nil
}

// Gate implements run.Compute.
func (Compute) Gate(_, condition string, scope run.Scope) (bool, error) {
	switch condition {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "error":
		return false, errors.New("unknown name nobody at column 3")
	case "output":
		return bytes.Equal(scope.Output.JSON, []byte("true")), nil
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(condition))
	_, _ = h.Write(scope.Output.JSON)
	return h.Sum32()%2 == 0, nil
}
