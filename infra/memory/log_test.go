package memory_test

import (
	"testing"

	"quipu/commands"
	"quipu/commands/logtest"
	"quipu/infra/memory"
)

func TestLog_Contract(t *testing.T) {
	logtest.Run(t, func(testing.TB) commands.Log { return memory.NewLog() }, logtest.Capabilities{})
}
