package kurrentport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"quipu/domain"
)

// Bounds and defaults.
const (
	// PrefixDefault stands before the names of Quipu's own streams.
	PrefixDefault = "quipu."
	// PrefixBytesMax is the longest prefix.
	PrefixBytesMax = 64

	// StreamsMaxDefault is how many calls one connection may have open at once: what the real
	// server allows.
	StreamsMaxDefault = 100
	StreamsMaxMax     = 1 << 20
	// ConnectionsMax is how many connections are served at once; further ones wait to be accepted.
	ConnectionsMax = 4096

	AppendBytesMin = 1 << 10

	// MessageBytesMax is the largest message taken from a client; a larger one ends the call with
	// RESOURCE_EXHAUSTED. A batch of proposed events may be split over several messages.
	MessageBytesMax = 4 << 20
	// HeaderBytesMax is the most bytes of headers of one call.
	HeaderBytesMax = 16 << 10

	// PingMinDefault is the least time between two keep-alive pings of a client. Clients of this
	// protocol ping every 10 s, also without a call; the framework's own 5 min would cut them off.
	PingMinDefault = 5 * time.Second
	// pingEvery and pingTimeout are the port's own pings, which find clients that are gone.
	pingEvery   = 10 * time.Second
	pingTimeout = 10 * time.Second
	// handshakeTimeout is what a new connection may take to say that it speaks HTTP/2.
	handshakeTimeout = 10 * time.Second

	// VersionDefault is the version of the server whose behaviour is kept: three integers, since
	// clients parse it.
	VersionDefault = "24.10.6"
)

// Options of New. The zero value means the defaults: no TLS and no credentials, Quipu's own streams
// read-only.
type Options struct {
	// Prefix stands before the names of Quipu's own streams, 1..PrefixBytesMax bytes, not starting
	// with "$". Default PrefixDefault. Streams of others are stored without regard to it: change it
	// only on a log that has none whose names begin with it.
	Prefix string
	// OwnWritable lets Quipu's own streams be written, by the node credential; without TLS by
	// anybody. Only for a log that no executor of this process writes to.
	OwnWritable bool
	// AppendBytesMax is the most bytes of one append (data, metadata and twice the type), in
	// AppendBytesMin..domain.AppendBytesMax. Default domain.AppendBytesMax.
	AppendBytesMax int
	// StreamsMax is how many calls one connection may have open; further ones wait at the client.
	// Default StreamsMaxDefault, 1..StreamsMaxMax.
	StreamsMax int
	// PingMin is the least time between two keep-alive pings of a client; one that pings more often
	// is cut off with too_many_pings. Default PingMinDefault.
	PingMin time.Duration
	// TLS, if set, makes the port speak TLS only, and check credentials. Without it clients never
	// send any, so that none are checked: listen on loopback then.
	TLS *tls.Config
	// Credentials say who may call over TLS. At least one is needed there.
	Credentials Credentials
	// Version is what ServerFeatures says. Default VersionDefault.
	Version string
	// Clock gives the instant at which events of others were created. Default time.Now.
	Clock func() time.Time
	// NewID makes ids of subscriptions. Default random UUIDs.
	NewID func() string
	// Logger is told of calls that failed by a fault of the log. Default: discard.
	Logger *slog.Logger
	// Hooks are told what goes on.
	Hooks Hooks
}

// Hooks are called on the goroutines of calls: keep them short. Each may be nil.
type Hooks struct {
	// Called is told of every call that has ended: its method, the code of its end, how long it took.
	Called func(method, code string, took time.Duration)
	// Subscribed is told 1 when a subscription begins and -1 when it ends.
	Subscribed func(by int)
}

// Credentials are what callers present by basic authentication, each as "user:password".
type Credentials struct {
	Node string // reads everything, writes everything that is writable
	Read string // reads everything, writes streams of others than Quipu
}

func (o Options) withDefaults() Options {
	if o.Prefix == "" {
		o.Prefix = PrefixDefault
	}
	if o.AppendBytesMax == 0 {
		o.AppendBytesMax = domain.AppendBytesMax
	}
	if o.StreamsMax == 0 {
		o.StreamsMax = StreamsMaxDefault
	}
	if o.PingMin == 0 {
		o.PingMin = PingMinDefault
	}
	if o.Version == "" {
		o.Version = VersionDefault
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.NewID == nil {
		o.NewID = uuid.NewString
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Hooks.Called == nil {
		o.Hooks.Called = func(string, string, time.Duration) {}
	}
	if o.Hooks.Subscribed == nil {
		o.Hooks.Subscribed = func(int) {}
	}
	return o
}

// Validate reports every option out of bounds. Errors: ErrInvalid.
func (o Options) Validate() error {
	o = o.withDefaults()
	var problems []error
	bad := func(field, format string, args ...any) {
		problems = append(problems, domain.E(domain.KindInvalid, "open", "protocol port", fmt.Sprintf(format, args...)).WithField(field))
	}
	if len(o.Prefix) > PrefixBytesMax || strings.HasPrefix(o.Prefix, "$") || !utf8.ValidString(o.Prefix) || domain.StreamID(o.Prefix).Check() != nil {
		bad("Prefix", "has to be 1..%d bytes of UTF-8 without control characters that do not begin with $", PrefixBytesMax)
	}
	if o.AppendBytesMax < AppendBytesMin || o.AppendBytesMax > domain.AppendBytesMax {
		bad("AppendBytesMax", "%d is not in %d..%d", o.AppendBytesMax, AppendBytesMin, domain.AppendBytesMax)
	}
	if o.StreamsMax < 1 || o.StreamsMax > StreamsMaxMax {
		bad("StreamsMax", "%d is not in 1..%d", o.StreamsMax, StreamsMaxMax)
	}
	if o.PingMin < 0 || o.PingMin > 10*time.Second {
		bad("PingMin", "%s is not in 0s..10s, which is how often clients ping", o.PingMin)
	}
	for _, c := range []struct{ field, value string }{{"Credentials.Node", o.Credentials.Node}, {"Credentials.Read", o.Credentials.Read}} {
		if user, password, ok := strings.Cut(c.value, ":"); c.value != "" && (!ok || user == "" || password == "") {
			bad(c.field, "is not of the form user:password")
		}
	}
	if o.TLS != nil && o.Credentials == (Credentials{}) {
		bad("Credentials", "over TLS nobody could call without any")
	}
	if o.Credentials.Node != "" && o.Credentials.Node == o.Credentials.Read {
		bad("Credentials", "the node's and the readers' have to differ")
	}
	return errors.Join(problems...)
}
