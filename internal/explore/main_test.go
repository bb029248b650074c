package explore

import (
	"flag"
	"testing"

	"quipu/internal/proctest"
)

// sequencesDefault is for every run of the tests; make verify-long asks for more with -rapid.checks.
const sequencesDefault = "50"

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", sequencesDefault); err != nil {
		panic(err)
	}
	proctest.Main(m) // parses the flags given, which count
}
