package run_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"quipu/domain/domaintest"
)

// FuzzScripts lets the fuzzer choose graph and commands; domaintest checks every step.
func FuzzScripts(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		h := domaintest.NewHistory()
		start := domaintest.StartOf(t, domaintest.Definition(t, 6, true))
		at := domaintest.At(0)
		for range rapid.IntRange(1, 30).Draw(t, "commands") {
			at = at.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "pause")) * time.Millisecond)
			if h.State.LastAt.After(at) {
				at = h.State.LastAt
			}
			step(t, h, domaintest.Command(t, h, start, at))
		}
		cuts(t, h)
	}))
}
