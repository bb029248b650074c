package nodetypes

import (
	"net/http"
	"time"

	"quipu/commands/node"
)

// Bounds of the package.
const (
	// ReplyBytesMaxDefault is the largest reply body kept when Deps do not say.
	ReplyBytesMaxDefault = 8 << 20
	// ExcerptBytesMax is how much of an error reply's body a Failure carries.
	ExcerptBytesMax = 2 << 10
	// RetryAfterMax caps what a far side may ask us to wait.
	RetryAfterMax = 24 * time.Hour
)

// Client sends HTTP requests; *http.Client is one.
//
// The process hands in the guarded client of infra/outbound, which also decides about redirects.
// An error that has Blocked() bool in its chain, answering true, says that the destination is
// not allowed.
type Client interface {
	Do(*http.Request) (*http.Response, error)
}

// Model is the process's default for model-backed types.
type Model struct {
	// BaseURL of an OpenAI-compatible API, e.g. "http://127.0.0.1:11434/v1"; "" for none, which
	// makes agents without an api_url or base_url of their own use the deterministic provider.
	BaseURL string
	// Key is sent to BaseURL only, never to a base_url that a definition names; "" for none.
	Key string
	// Name is the model to ask for when a definition names none; "" for none.
	Name string
}

// Deps are the collaborators of the node types.
type Deps struct {
	// HTTP is required: every outbound call goes through it.
	HTTP Client
	// ReplyBytesMax bounds each reply body after decompression; 0 gives ReplyBytesMaxDefault.
	ReplyBytesMax int64
	Model         Model
	// Channels is what the event type publishes to; without it publishing fails.
	Channels Publisher
	// Now tells the time for latencies and HTTP dates; nil gives time.Now.
	Now func() time.Time
}

// All returns the built-in node types. It panics if d has no HTTP client.
func All(d Deps) []node.Type {
	if d.HTTP == nil {
		panic("nodetypes: Deps.HTTP is nil")
	}
	if d.ReplyBytesMax <= 0 {
		d.ReplyBytesMax = ReplyBytesMaxDefault
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return []node.Type{
		agentLyzr(d),
		a2a(d),
		agent(d),
		apiCall(d),
		approval(),
		approvalBlock(),
		benchNoop(),
		conditional(),
		end(),
		eval(d),
		event(d),
		gptConditional(d),
		gptRouter(d),
		inputs(),
		merge(),
		timer(),
		transform(),
		trigger(),
	}
}
