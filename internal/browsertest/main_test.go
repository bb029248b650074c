package browsertest

import (
	"flag"
	"testing"

	"quipu/internal/proctest"
)

func TestMain(m *testing.M) {
	// Nearly all of the time goes by in the clients' own delays, not on a core.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	proctest.Main(m, stopChromium)
}
