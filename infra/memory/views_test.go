package memory_test

import (
	"testing"

	"quipu/infra/memory"
	"quipu/projections/viewstest"
)

func TestViews_Contract(t *testing.T) {
	viewstest.Run(t, func(testing.TB, *viewstest.Log) viewstest.Views { return memory.NewViews() },
		viewstest.Capabilities{Again: func(_ testing.TB, v viewstest.Views, _ *viewstest.Log) viewstest.Views {
			return v.(*memory.Views).Again()
		}})
}
