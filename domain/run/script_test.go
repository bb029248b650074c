package run_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/domaintest"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata/*.txt; review the difference")

// The scripts read as stories: commands, and below each the events it leads to. Lines that begin
// with "|" are answers; -update writes them anew.
//
//	node <name> <type> [params]     edge <source> <target> [condition]     input <json>
//	start [hold]   wait <duration>   complete <task> <attempt> <output>   attempt <task>   fire <task>
//	fail <task> <attempt> <code> [final] [after=<duration>] [partial=<json>]
//	recover <process>   continue   cancel <reason>   abandon
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			got := play(t, string(want))
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
			}
			if !*update {
				require.Equal(t, string(want), got)
			}
		})
	}
}

type script struct {
	t     *testing.T
	h     *domaintest.History
	def   workflow.Definition
	input string
	at    time.Time
	out   strings.Builder
}

func play(t *testing.T, text string) string {
	s := &script{t: t, h: domaintest.NewHistory(), input: "{}", at: domaintest.At(0)}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "|") {
			continue
		}
		s.out.WriteString(line + "\n")
		word, rest, _ := strings.Cut(line, " ")
		if word != "" && word != "#" {
			s.line(word, rest)
		}
	}
	return s.out.String()
}

func (s *script) line(word, rest string) {
	args := strings.SplitN(rest, " ", 3)
	for len(args) < 3 {
		args = append(args, "")
	}
	switch word {
	case "node":
		s.def.Nodes = append(s.def.Nodes, domaintest.Node(args[0], args[1], args[2]))
	case "edge":
		s.def.Edges = append(s.def.Edges, workflow.Edge{Source: args[0], Target: args[1], Condition: args[2]})
	case "input":
		s.input = rest
	case "wait":
		d, err := time.ParseDuration(rest)
		require.NoError(s.t, err)
		s.at = s.at.Add(d)
	default:
		s.command(s.parse(word, args, rest))
	}
}

func (s *script) parse(word string, args []string, rest string) run.Command {
	attempt, _ := strconv.Atoi(args[1])
	switch word {
	case "start":
		c := domaintest.Start(s.t, s.def, s.input)
		c.At, c.Hold = s.at, rest == "hold"
		return c
	case "complete":
		return run.CompleteTask{At: s.at, Task: args[0], Attempt: attempt, Output: domain.Raw([]byte(args[2])), Details: domain.Raw([]byte(`{"status":200}`)), Node: "n1"}
	case "fail":
		return s.parseFail(args[0], attempt, args[2])
	case "attempt":
		return run.StartAttempt{At: s.at, Task: args[0], Node: "n1"}
	case "fire":
		return run.FireTimer{At: s.at, Task: args[0], Node: "n1"}
	case "recover":
		return run.Recover{At: s.at, Node: args[0]}
	case "continue":
		return run.Continue{At: s.at, Node: "n1"}
	case "cancel":
		return run.Cancel{At: s.at, Reason: rest}
	case "abandon":
		return run.Abandon{At: s.at, RunID: "r1"}
	}
	s.t.Fatalf("unknown command %q", word)
	return nil
}

func (s *script) parseFail(task string, attempt int, rest string) run.Command {
	words := strings.Fields(rest)
	c := run.FailTask{
		At: s.at, Task: task, Attempt: attempt, Retryable: true, Jitter: 0.5,
		Error: run.ErrorInfo{Type: "HTTPError", Code: words[0], Message: "the far side answered " + words[0]},
	}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "final":
			c.Retryable = false
		case "after":
			c.RetryAfter, _ = time.ParseDuration(value)
		case "partial":
			c.Partial = domain.Raw([]byte(value))
		default:
			s.t.Fatalf("unknown word %q", w)
		}
	}
	return c
}

func (s *script) command(c run.Command) {
	before := s.h.State.Revision
	d, err := s.h.Do(s.t, c)
	switch {
	case err != nil:
		fmt.Fprintf(&s.out, "| refused (%s): %v\n", domain.KindOf(err), err)
	case len(d.Events) == 0:
		s.out.WriteString("| nothing\n")
	}
	for i, e := range d.Events {
		typ, data := wire.EncodeRun(e)
		fmt.Fprintf(&s.out, "| %d +%s %s %s\n", int(before)+1+i, s.at.Sub(domaintest.At(0)), typ, short(typ, data))
	}
	if d.More {
		s.out.WriteString("| more\n")
	}
}

// short leaves out what is the same in every story: task ids, and the stored definition.
func short(typ string, data []byte) string {
	var members []string
	for _, m := range (domain.Value{JSON: data}).Members() {
		if m.Key == "task_id" || m.Key == "iteration" || m.Key == "definition" || typ == wire.RunStarted && m.Key != "input" && m.Key != "run_id" {
			continue
		}
		key, _ := json.Marshal(m.Key)
		members = append(members, string(key)+":"+string(m.Value.JSON))
	}
	return "{" + strings.Join(members, ",") + "}"
}
