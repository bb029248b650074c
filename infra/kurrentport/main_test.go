package kurrentport_test

import (
	"testing"

	"go.uber.org/goleak"
)

// Whatever the port or its clients start has ended with their tests.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
