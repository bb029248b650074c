package memory_test

import (
	"testing"

	"quipu/domain"
	"quipu/eventbus"
	"quipu/eventbus/checkpointstest"
	"quipu/infra/memory"
)

func TestCheckpoints_Contract(t *testing.T) {
	checkpointstest.Run(t, func(*testing.T) checkpointstest.Open {
		c := memory.NewCheckpoints("")
		return func(log domain.LogID) eventbus.Checkpoints { return c.For(log) }
	})
}
