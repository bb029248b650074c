package run_test

import (
	"fmt"
	"testing"

	"quipu/domain"
	"quipu/domain/domaintest"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// fiveSteps is the flow that engines are compared by: five tasks in a row, each with an effect.
func fiveSteps() workflow.Definition {
	d := workflow.Definition{Nodes: []workflow.Node{domaintest.Node("step1", "bench_noop", "")}}
	for i := 2; i <= 5; i++ {
		d.Nodes = append(d.Nodes, domaintest.Node(fmt.Sprint("step", i), "bench_noop", fmt.Sprintf(`{"previous":{"depends":"step%d"}}`, i-1)))
	}
	return d
}

func fiveCommands(b *testing.B) []run.Command {
	commands := []run.Command{domaintest.Start(b, fiveSteps(), `{"order":7}`)}
	for i := 1; i <= 5; i++ {
		commands = append(commands, complete(i, fmt.Sprint("step", i), 1, `{"ok":true}`))
	}
	return commands
}

// The decider's share of a flow: six decisions.
func BenchmarkDecide_FiveSteps(b *testing.B) {
	commands := fiveCommands(b)
	b.ReportAllocs()
	for b.Loop() {
		s := run.New()
		for _, c := range commands {
			d, err := run.Decide(s, c, domaintest.Compute{})
			if err != nil {
				b.Fatal(err)
			}
			s = d.Next
		}
		if s.Phase != run.PhaseCompleted {
			b.Fatal(s.Phase)
		}
	}
}

// Everything between a command and its append: decide, encode, seal.
func BenchmarkDecideEncodeSeal_FiveSteps(b *testing.B) {
	commands := fiveCommands(b)
	cause := wire.Cause{Actor: wire.Actor{Kind: wire.ActorSystem, Via: "executor"}, CommandID: "0190a0b0-0000-7000-8000-000000000001", CorrelationID: "0190a0b0-0000-7000-8000-000000000001"}
	b.ReportAllocs()
	for b.Loop() {
		s, head := run.New(), wire.NewHead()
		for _, c := range commands {
			d, err := run.Decide(s, c, domaintest.Compute{})
			if err != nil {
				b.Fatal(err)
			}
			for _, e := range d.Events {
				typ, data := wire.EncodeRun(e)
				_, head = wire.Seal("run-0190a0b0-0000-7000-8000-000000000001", head, d.Next.LastAt, cause, typ, data)
			}
			s = d.Next
		}
	}
}

func history(b *testing.B, tasks int) []run.Fact {
	var d workflow.Definition
	for i := range tasks {
		d.Nodes = append(d.Nodes, domaintest.Node(fmt.Sprint("t", i), "pure", ""))
	}
	dec, err := run.Decide(run.New(), domaintest.Start(b, d, "{}"), domaintest.Compute{})
	var facts []run.Fact
	for {
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range dec.Events {
			facts = append(facts, run.Fact{Revision: domain.Revision(len(facts)), At: dec.Next.LastAt, Event: e, Graph: dec.Next.Graph, Input: dec.Next.Input})
		}
		if !dec.More {
			return facts
		}
		dec, err = run.Decide(dec.Next, run.Continue{At: domaintest.At(0)}, domaintest.Compute{})
	}
}

func BenchmarkFold_2000Events(b *testing.B) {
	facts := history(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := run.Fold(run.New(), facts...); err != nil {
			b.Fatal(err)
		}
	}
}
