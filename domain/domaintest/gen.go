package domaintest

import (
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/run"
	"quipu/domain/workflow"
)

// hostileNames break code that joins, escapes, splits or trims names.
var hostileNames = []string{
	"a", "a.context", "/", "~", "~1", "a/b", `"`, `\`, " ", "é", "\U0001F600", "<script>", "{{a}}", "null", "output", "0",
	strings.Repeat("\"", domain.NameBytesMax), strings.Repeat("n", domain.NameBytesMax), "\u2028",
}

var effectTypes = []string{"effect", "tool", "llm"}

var pureTypes = []string{"pure", "pure_echo", "pure_big"}

var channels = []string{"c", "é\"", strings.Repeat("\"", run.ChannelBytesMax)}

var conditions = []string{"true", "false", "output", "route == 'a'", "route == 'b'"}

// outputs are what nodes answer with.
var outputs = []domain.Value{
	domain.Null(), domain.Raw([]byte("true")), domain.Raw([]byte(`{"n":1e400,"s":"\ud800"}`)), domain.Text("<b>\u2028"),
	domain.Raw([]byte(" [ 1 ]\n")), Big("o"),
	{},
	{JSON: []byte(`{"token":null}`), Holes: []domain.Hole{{At: "/token", Sealed: "s7", FP: "ab"}}},
}

// Definition generates a graph of up to nodesMax tasks with hostile names, in any order, with
// references, conditional and plain edges, pure and effect nodes. failing allows nodes and
// conditions that cannot be computed.
func Definition(t *rapid.T, nodesMax int, failing bool) workflow.Definition {
	n := rapid.IntRange(1, nodesMax).Draw(t, "nodes")
	names := make([]string, n)
	for i := range names {
		names[i] = rapid.SampledFrom(hostileNames).Draw(t, "name")
		if rapid.Bool().Draw(t, "plain") || taken(names[:i], names[i]) {
			names[i] = fmt.Sprintf("t%d", i)
		}
	}
	var d workflow.Definition
	for i := range n {
		d.Nodes = append(d.Nodes, node(t, names, i, failing))
	}
	if n > 1 {
		for range rapid.IntRange(0, 2*n).Draw(t, "edges") {
			to := rapid.IntRange(1, n-1).Draw(t, "to")
			e := workflow.Edge{Source: names[rapid.IntRange(0, to-1).Draw(t, "from")], Target: names[to]}
			if rapid.Bool().Draw(t, "conditional") {
				e.Condition = rapid.SampledFrom(conditions).Draw(t, "condition")
				if failing && rapid.IntRange(0, 9).Draw(t, "bad condition") == 0 {
					e.Condition = "error"
				}
			}
			d.Edges = append(d.Edges, e)
		}
	}
	// Tasks may stand in any order; only the arrows say what comes first.
	d.Nodes = rapid.Permutation(d.Nodes).Draw(t, "order")
	return d
}

func taken(names []string, name string) bool {
	for _, n := range names {
		// A name that ends in .context would be read as another task's.
		if n == name {
			return true
		}
	}
	return strings.HasSuffix(name, ".context")
}

func node(t *rapid.T, names []string, i int, failing bool) workflow.Node {
	var o domain.Object
	o.Add("config", domain.Raw([]byte(`{"body":{"input":"as it is"} }`)))
	for j := range rapid.IntRange(0, 3).Draw(t, "params") {
		key := fmt.Sprintf("p/%d", j)
		quoted := func(k, v string) domain.Value {
			return domain.Raw([]byte(`{"` + k + `":` + string(rawjson.Quote(v)) + `}`))
		}
		switch kind := rapid.IntRange(0, 4).Draw(t, "param"); {
		case kind == 0 && i > 0:
			o.Add(key, quoted("depends", names[rapid.IntRange(0, i-1).Draw(t, "depends")]))
		case kind == 1 && i > 0:
			from := string(rawjson.Quote(names[rapid.IntRange(0, i-1).Draw(t, "mapped")]))
			o.Add(key, domain.Raw([]byte(`{"mapping":{"BODY_x":"response"},"depends":`+from+`}`)))
		case kind == 2:
			o.Add(key, quoted("input", rapid.SampledFrom([]string{"q", "big", "key", "absent"}).Draw(t, "input")))
		case kind == 3:
			o.Add(key, domain.Value{JSON: []byte(`{"value":null}`), Holes: []domain.Hole{{At: "/value", Sealed: "s2", FP: "cd"}}})
		default:
			o.Add(key, rapid.SampledFrom(outputs).Draw(t, "direct"))
		}
	}
	kind := rapid.SampledFrom(effectTypes).Draw(t, "effect")
	if rapid.IntRange(0, 3).Draw(t, "is pure") == 0 {
		kind = rapid.SampledFrom(pureTypes).Draw(t, "pure")
		if failing && rapid.IntRange(0, 9).Draw(t, "bad pure") == 0 {
			kind = "pure_fail"
		}
	}
	if rapid.IntRange(0, 5).Draw(t, "is timer") == 0 {
		kind = "timer"
		o.Add("ms", domain.Raw(fmt.Append(nil, rapid.SampledFrom([]int{-1, 0, 1, 700, 30_000}).Draw(t, "ms"))))
		if failing && rapid.IntRange(0, 9).Draw(t, "bad timer") == 0 {
			kind = "timer_bad"
		}
	}
	if rapid.IntRange(0, 5).Draw(t, "waits") == 0 && !strings.HasPrefix(kind, "timer") {
		kind = rapid.SampledFrom([]string{"approval", "event"}).Draw(t, "wait")
		o.Add("channel", domain.Text(rapid.SampledFrom(channels).Draw(t, "channel")))
		o.Add("description", domain.Text("<b>?"))
		if rapid.Bool().Draw(t, "wait ends") {
			o.Add("ms", domain.Raw(fmt.Append(nil, rapid.SampledFrom([]int{-1, 700}).Draw(t, "wait ms"))))
		}
		if failing && rapid.IntRange(0, 9).Draw(t, "bad wait") == 0 {
			kind = "wait_bad"
		}
	}
	templates := rapid.IntRange(0, 3).Draw(t, "templates") == 0
	if templates {
		o.Add("text", domain.Raw([]byte(`["{{output}}",{"{{output}}":"{{other}}"}]`)))
		if failing && rapid.IntRange(0, 9).Draw(t, "bad template") == 0 {
			o.Add("bad", domain.Text("{{bad}}"))
		}
	}
	n := Node(names[i], kind, "")
	n.Params, n.Templates = o.Value(), templates
	n.Timeout = time.Duration(rapid.IntRange(0, 1).Draw(t, "timeout")) * 1500 * time.Microsecond
	return n
}

// Input is a run's input with a large member and a secret.
func Input(t *rapid.T) domain.Value {
	var o domain.Object
	o.Add("q", domain.Raw([]byte(`-0`)))
	if rapid.Bool().Draw(t, "big input") {
		o.Add("big", Big("i"))
	}
	o.Add("key", domain.Value{JSON: []byte("null"), Holes: []domain.Hole{{Sealed: "s1", FP: "ef"}}})
	return o.Value()
}

// StartOf generates the start of a run of d.
func StartOf(t *rapid.T, d workflow.Definition) run.Start {
	s := Start(t, d, "{}")
	s.Input = Input(t)
	s.Secrets = []run.Secret{{ID: "s1", FP: "ef", Ciphertext: "AAAA"}, {ID: "s2", FP: "cd", Ciphertext: "BBBB"}}
	if rapid.IntRange(0, 3).Draw(t, "retry") == 0 {
		s.RetryOf = "r0"
		s.Reused = run.Reuse(func(add func(string, domain.Revision, domain.Value)) {
			for i, n := range d.Nodes {
				if rapid.Bool().Draw(t, "reused") {
					add(n.Name, domain.Revision(i), Output(t))
				}
			}
		})
	}
	if rapid.Bool().Draw(t, "metadata") {
		s.ConnectionID, s.Metadata = "ws_\"", rapid.SampledFrom([]domain.Value{domain.Raw([]byte(`{"k": 1e400}`)), Big("m")}).Draw(t, "client's")
	}
	s.Hold = rapid.IntRange(0, 4).Draw(t, "hold") == 0
	return s
}

// Output draws what a node answers with.
func Output(t *rapid.T) domain.Value { return rapid.SampledFrom(outputs).Draw(t, "output") }

// Command draws any command, sensible or not, for a run in h's state.
func Command(t *rapid.T, h *History, start run.Start, at time.Time) run.Command {
	task, attempt := "nobody", rapid.IntRange(-1, 4).Draw(t, "attempt")
	if n := h.State.Tasks(); n > 0 && rapid.IntRange(0, 9).Draw(t, "known") > 0 {
		i := rapid.IntRange(0, n-1).Draw(t, "task")
		if running := h.inPhase(run.TaskRunning, run.TaskBackoff, run.TaskTimed, run.TaskAwaiting); len(running) > 0 && rapid.IntRange(0, 3).Draw(t, "active") > 0 {
			i = running[i%len(running)]
		}
		task = h.State.Graph.Nodes[i].Name
		if rapid.IntRange(0, 4).Draw(t, "current") > 0 {
			attempt = int(h.State.Task(i).Attempt)
		}
	}
	node := rapid.SampledFrom([]string{"n1", "n2", "n3"}).Draw(t, "process")
	switch kind := rapid.IntRange(0, 27).Draw(t, "command"); {
	case kind == 20:
		return run.Pause{At: at, Reason: "wait"}
	case kind == 21 || kind == 22:
		return run.Resume{At: at, Node: node, Hold: rapid.Bool().Draw(t, "held")}
	case kind == 23 || kind == 24:
		if rapid.Bool().Draw(t, "any approval") {
			task = ""
		}
		return run.DecideApproval{At: at, Task: task, Node: node, Comment: "\x00\xff", Hold: rapid.Bool().Draw(t, "held"), Action: rapid.SampledFrom([]string{run.Approved, run.Approved, run.Rejected, "maybe"}).Draw(t, "action")}
	case kind == 25:
		return run.Signal{
			At: at, Name: rapid.SampledFrom(channels).Draw(t, "signal"), SignalID: fmt.Sprint(rapid.IntRange(0, 99).Draw(t, "signal id")), Payload: Output(t), Node: node,
			Secrets: []run.Secret{{ID: "s8", FP: "x", Ciphertext: "DDDD"}},
		}
	case kind > 25:
		return run.Deliver{
			At: at, Task: task, Channel: rapid.SampledFrom(channels).Draw(t, "channel"), MessageID: "7", Payload: Output(t), Node: node,
			Secrets: []run.Secret{{ID: "s8", FP: "x", Ciphertext: "DDDD"}},
		}
	case kind < 8:
		return run.CompleteTask{At: at, Task: task, Attempt: attempt, Output: Output(t), Details: domain.Raw([]byte(`{"status":200}`)), Node: node, Hold: rapid.IntRange(0, 4).Draw(t, "completion held") == 0}
	case kind < 12:
		return run.FailTask{
			At: at, Task: task, Attempt: attempt, Error: hostileError(t), Partial: Output(t), Retryable: kind > 8,
			RetryAfter: time.Duration(rapid.Int64Range(-1, int64(time.Hour)).Draw(t, "after")), Jitter: rapid.Float64Range(0, 0.99).Draw(t, "jitter"),
			Secrets: []run.Secret{{ID: "s9", FP: "x", Ciphertext: "CCCC"}},
		}
	case kind < 15:
		if late := at.Add(time.Duration(rapid.IntRange(0, 1).Draw(t, "fires late")) * time.Minute); kind == 14 {
			return run.FireTimer{At: late, Task: task, Node: node}
		}
		return run.StartAttempt{At: at.Add(time.Duration(rapid.IntRange(0, 1).Draw(t, "late")) * 48 * time.Hour), Task: task, Node: node}
	case kind < 17:
		return run.Recover{At: at, Node: node, Alive: rapid.SampledFrom([][]string{nil, {"n2"}, {"n1", "n3"}}).Draw(t, "alive")}
	case kind == 17:
		return run.Continue{At: at, Node: node}
	case kind == 18 && rapid.IntRange(0, 3).Draw(t, "really") == 0:
		return run.Cancel{At: at, Reason: "stop"}
	case kind == 18:
		return run.Abandon{At: at, RunID: "r1"}
	}
	start.At = at
	return start
}

func hostileError(t *rapid.T) run.ErrorInfo {
	return rapid.SampledFrom([]run.ErrorInfo{
		{Type: "HTTPError", Code: "HTTP_503", Message: "busy", Details: domain.Raw([]byte(`{"status":503}`))},
		{Type: "E", Code: "C", Message: strings.Repeat("\x00", 300_000)},
		{Type: strings.Repeat("T", 300_000), Code: strings.Repeat("C", 300_000), Message: "not \xff UTF-8"},
		{Details: Big("d")},
		{},
	}).Draw(t, "error")
}
