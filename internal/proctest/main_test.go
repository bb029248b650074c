package proctest

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv(asCurl) != "" {
		os.Exit(curl(os.Args[1:]))
	}
	Main(m)
}
