// Package node is the registry of node types: what a task can be.
//
// One Type is one file in commands/nodetypes: its name, category, config schema, whether it has
// effects, and the function that carries it out. The registry is built at start and then only
// read; it is safe for concurrent use.
package node

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"time"

	"quipu/domain"
)

// Kind says whether a node type touches the world.
type Kind uint8

// Effect nodes have their start on disk before they run. Pure nodes are computed inside a
// decision: deterministic, bounded, without I/O. Timer nodes wait for an instant that is worked out
// likewise; no attempt runs for them. Wait nodes wait for somebody's decision or for an event; likewise.
const (
	Effect Kind = iota
	Pure
	Timer
	Wait
)

// Calls says which family of call events surrounds a task of the type (contract D1).
type Calls string

// The families.
const (
	CallsNothing Calls = ""
	CallsTool    Calls = "tool"
	CallsModel   Calls = "llm"
)

// Type describes one node type.
type Type struct {
	Name        string   // wire name, snake_case
	Aliases     []string // other names accepted as function
	Title       string
	Category    string
	Description string
	Kind        Kind
	Calls       Calls
	// Config is the JSON Schema (2020-12) of params.config; nil accepts anything.
	Config json.RawMessage
	// Input and Output are JSON Schemas (2020-12) for people and editors: the params beside config,
	// as they stand in an attempt, and what the task gives. Nothing is checked against them at run time.
	Input, Output json.RawMessage
	// Examples show the type in use; each config keeps to Config and passes Check.
	Examples []Example
	// PureFor makes a task of an Effect type a pure one by its definition's params, for types that
	// have both Run and Compute. The answer is stored with the definition as a trait, so it must not
	// depend on what is known only later: references and templates. Nil: never.
	PureFor func(params json.RawMessage) bool
	// Timeout is the default time for one attempt; 0 takes the process's default.
	Timeout time.Duration
	// Check inspects the params of a definition before a run starts. Pointers in the result are
	// relative to params. Params may hold nulls where secrets are, and references that are
	// resolved later ({"depends": …}, {"input": …}). Nil checks nothing.
	Check func(params json.RawMessage) []Fault
	// Run carries out one attempt of an Effect type. It must honour ctx. An error that is a
	// *Failure is recorded as it is; any other error becomes a retryable Failure of code INTERNAL
	// without its text being shown to clients.
	Run func(ctx context.Context, call Call) (Reply, error)
	// Compute evaluates a Pure type.
	Compute func(call Call) (Reply, error)
	// Due tells until when a Timer that starts at the given instant waits. Only Params and Function
	// of call are set. It is deterministic; an instant that is not after at is due at once.
	Due func(call Call, at time.Time) (time.Time, error)

	// Await tells what a Wait that starts at the given instant waits for. Only Params and Function of
	// call are set; secrets are masked. It is deterministic.
	Await func(call Call, at time.Time) (Awaiting, error)
	// WaitFor makes a task of an Effect type that has Await too one that waits, by its definition's
	// params, with the rule of PureFor. Nil: never.
	WaitFor func(params json.RawMessage) bool

	schema *Schema // Config, compiled by NewRegistry
}

// Example is one use of a type, for docs.
type Example struct {
	Title  string
	Params json.RawMessage // as a task's params in run-dag; params.config is a node's config elsewhere
	Output json.RawMessage // what such a task gives
}

// Computed tells whether a task with these params is computed inside a decision.
func (t *Type) Computed(params json.RawMessage) bool {
	return t.Kind == Pure || t.PureFor != nil && t.PureFor(params)
}

// Fault is one thing wrong with a definition's params.
type Fault struct {
	Pointer string // JSON pointer relative to params
	Message string // what is wrong and how to mend it
}

// Call is one attempt handed to a node type. Everything in it is real: secrets opened, blobs
// loaded. Nothing of it may be logged.
type Call struct {
	RunID, FlowName, RunName string
	Task, TaskID, Function   string
	Iteration, Attempt       int
	// Key is the idempotency key for outbound calls: the same for every attempt of the task
	// ("<run>/<percent-encoded task>/<iteration>", or its SHA-256 in hex when over 200 bytes).
	Key string
	// Params is the resolved parameter object (contract S0-13).
	Params json.RawMessage
	// Upstream are the outputs of the tasks this one depends on, in the order of its params.
	Upstream []Upstream
	// Traceparent is the W3C trace context to send along, "" if none.
	Traceparent string
	// Scope is what expressions of pure nodes see; nil for effects.
	Scope *Scope
	// Delta, which may be nil, is told of text as a model says it, in order, for whoever watches live;
	// the whole text is the attempt's output all the same. It never blocks, keeps nothing of the text
	// and may be called from the attempt's goroutine only, until Run returns.
	Delta func(text string) `json:"-"`
}

// Upstream is one dependency's output. Skipped is true if that task was skipped; Output is null then.
type Upstream struct {
	Task    string
	Param   string // the parameter that named it, "" if none did
	Output  json.RawMessage
	Skipped bool
}

// Awaiting is what a task waits for: an event if Channel is not empty, else a decision.
type Awaiting struct {
	Request json.RawMessage // JSON object: what is to be decided, and by whom
	Channel string          // name of the signal or channel
	Due     time.Time       // when the task fails because nothing came; zero for never
}

// Scope is the data that conditions and expressions may read. Secrets are masked in it.
type Scope struct {
	Output json.RawMessage            // output of the source node, null if none
	Nodes  map[string]json.RawMessage // outputs by task name
	Input  json.RawMessage            // the run's input
}

// Reply is the outcome of a successful attempt.
type Reply struct {
	// Output must be one JSON value that rawjson.Check accepts.
	Output json.RawMessage
	// Details describe the call for the tool_completed/llm_completed event: method, url without
	// query, status, model, tokens, latency_ms. Never secrets or payloads. May be nil.
	Details map[string]any
}

// Failure is the outcome of a failed attempt: a small value that is recorded in events.
type Failure struct {
	Type    string          // e.g. "HTTPError"
	Code    string          // stable, upper-case, e.g. "HTTP_503"
	Message string          // for people; no secrets, no payloads beyond a short excerpt
	Details json.RawMessage // JSON object, may be nil
	// Said is what the far side told about it, one line, "" if nothing. It stands behind the message
	// with secrets masked and shortened, in this order: half a secret cannot be recognised.
	Said string
	// Partial is what the node got done before it failed (task_failed.partial_results); may be nil.
	Partial json.RawMessage
	// Retryable says that another attempt may help; the decider decides.
	Retryable bool
	// RetryAfter is the least wait the far side asked for; 0 if none.
	RetryAfter time.Duration
	// CallDetails describe the call as Reply.Details do.
	CallDetails map[string]any
}

// Error renders "code: message".
func (f *Failure) Error() string { return f.Code + ": " + f.Message }

// Registry maps names to types.
type Registry struct {
	types  map[string]*Type
	sorted []*Type
}

// NewRegistry checks the types and refuses doubles. A wrong Type is a programmer's error, so it
// is reported once, at start.
func NewRegistry(types ...Type) (*Registry, error) {
	r := &Registry{types: make(map[string]*Type, len(types)*2)}
	for i := range types {
		t := &types[i]
		if t.Name == "" || t.PureFor != nil && t.Kind != Effect || (t.Kind == Effect) != (t.Run != nil) || (t.Kind == Pure || t.PureFor != nil) != (t.Compute != nil) || (t.Kind == Timer) != (t.Due != nil) || (t.Kind == Wait || t.WaitFor != nil) != (t.Await != nil) {
			return nil, domain.E(domain.KindInternal, "register node type", t.Name, "needs a name and exactly the function of its kind")
		}
		var err error
		if t.schema, err = compileSchema(t.Name, t.Config); err != nil {
			return nil, domain.Wrap(domain.KindInternal, "register node type", t.Name, err)
		}
		for _, doc := range []json.RawMessage{t.Input, t.Output} {
			if _, err := compileSchema(t.Name, doc); err != nil {
				return nil, domain.Wrap(domain.KindInternal, "register node type", t.Name, err)
			}
		}
		for _, name := range append([]string{t.Name}, t.Aliases...) {
			if _, dup := r.types[name]; dup {
				return nil, domain.E(domain.KindInternal, "register node type", name, "is registered twice")
			}
			r.types[name] = t
		}
		r.sorted = append(r.sorted, t)
	}
	sort.Slice(r.sorted, func(i, j int) bool { return r.sorted[i].Name < r.sorted[j].Name })
	return r, nil
}

// Get finds a type by name or alias.
func (r *Registry) Get(name string) (*Type, bool) {
	t, ok := r.types[name]
	return t, ok
}

// Types lists all types by name.
func (r *Registry) Types() []*Type { return r.sorted }

// Names lists the names for messages: "agent, api_call, …".
func (r *Registry) Names() string {
	names := make([]string, len(r.sorted))
	for i, t := range r.sorted {
		names[i] = t.Name
	}
	return strings.Join(names, ", ")
}

// Failf builds a Failure with a formatted message.
func Failf(typ, code string, retryable bool, format string, args ...any) *Failure {
	return &Failure{Type: typ, Code: code, Retryable: retryable, Message: fmt.Sprintf(format, args...)}
}
