package viewstest_test

import (
	"flag"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/infra/memory"
	"quipu/internal/faultytest"
	"quipu/projections/viewstest"
)

// The suite accepts right views; without this, failing for all views would look like proof.
func TestSuite_AcceptsRightViews(t *testing.T) {
	require.Empty(t, runSuite(t, func(testing.TB, *viewstest.Log) viewstest.Views { return &faulty{Views: memory.NewViews()} },
		viewstest.Capabilities{Again: func(_ testing.TB, v viewstest.Views, _ *viewstest.Log) viewstest.Views {
			return &faulty{Views: v.(*faulty).Again()}
		}}))
}

func TestSuite_RejectsFaultyViews(t *testing.T) {
	// What fails is to fail, not to be explained.
	require.NoError(t, flag.Set("rapid.shrinktime", "100ms"))
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			with := func(v *memory.Views) viewstest.Views {
				f := &faulty{Views: v}
				fault(f)
				return f
			}
			failures := runSuite(t, func(testing.TB, *viewstest.Log) viewstest.Views { return with(memory.NewViews()) },
				viewstest.Capabilities{
					Wait: 2 * time.Second, Scripts: 10,
					Again: func(_ testing.TB, v viewstest.Views, _ *viewstest.Log) viewstest.Views {
						if f := v.(*faulty); f.again != nil {
							return with(f.again())
						}
						return with(v.(*faulty).Again())
					},
				})
			require.NotEmpty(t, failures, "the suite accepted views that %s", name)
		})
	}
}

// runSuite runs the cases until one fails and returns the names that failed.
func runSuite(t *testing.T, open viewstest.OpenFunc, caps viewstest.Capabilities) (failed []string) {
	for _, c := range viewstest.Cases() {
		if faultytest.Fails(t, func(t testing.TB) { viewstest.RunCase(t, c, open, caps) }) {
			return append(failed, c.Name)
		}
	}
	return nil
}
