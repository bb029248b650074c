// Package lifecycle starts the parts of the process in order and stops them in reverse.
//
// To use it, describe each part as a Member, stores first and APIs last, and call Group.Run with
// a context that ends at SIGTERM:
//
//	g := lifecycle.New(lifecycle.Options{DrainTimeout: 10 * time.Second, Logger: log},
//		lifecycle.Member{Name: "log", Close: store.Close},
//		lifecycle.Member{Name: "projections", Run: runner.Run},
//		lifecycle.Member{Name: "executor", Run: executor.Run, Drain: executor.Drain},
//		lifecycle.Member{Name: "http", Run: server.Run, EndsAfterIntake: true},
//	)
//	err := g.Run(ctx)
//
// Two contexts reach a member. Intake ends for all members at once when the stop begins: take
// nothing new. Work ends for each member when its turn comes, or for all when the budget is spent:
// let go of what is in progress. So projections, which run until their work ends, still see what
// the executor records while it drains. What must be written even then (a last checkpoint, a
// result) belongs on context.WithoutCancel of work with a short timeout of its own.
package lifecycle
