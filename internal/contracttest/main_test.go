package contracttest

import (
	"testing"

	"quipu/internal/proctest"
)

func TestMain(m *testing.M) { proctest.Main(m) }
