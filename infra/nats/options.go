package nats

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// Bounds and defaults of Options.
const (
	ConnectTimeoutDefault = 5 * time.Second
	ReconnectMinDefault   = 100 * time.Millisecond
	ReconnectMaxDefault   = 5 * time.Second
	PingIntervalDefault   = 10 * time.Second
	ServersMax            = 64
	// pingsMissedMax is after how many unanswered pings a connection counts as dead: a half-open one
	// is given up within PingInterval times this.
	pingsMissedMax = 2
)

// Options of the connection. URLs is required; otherwise the zero value is the documented default.
type Options struct {
	// URLs are the servers, comma-separated: nats://[user:password@]host[:4222] or tls://…; further
	// servers of their cluster are learned from them. It may hold a secret and is never repeated in
	// an error.
	URLs string
	// Name is what the servers' lists of connections call this one.
	Name string
	// CredentialsFile is a file with a user's JWT and key, CAFile the certificates that servers'
	// are checked against instead of the system's, CertFile and KeyFile the client's own certificate.
	// CertFile and KeyFile go together. Each may be empty.
	CredentialsFile, CAFile, CertFile, KeyFile string
	// ConnectTimeout bounds each attempt to connect. Default 5 s.
	ConnectTimeout time.Duration
	// ReconnectMin and ReconnectMax bound the wait between rounds over all servers; it doubles with
	// each round and is shortened by up to a half at random. Defaults 100 ms and 5 s.
	ReconnectMin, ReconnectMax time.Duration
	// PingInterval is how often the server is asked whether it lives. Default 10 s.
	PingInterval time.Duration
	// Random gives numbers in [0, 1) for the jitter. Default none: the full wait.
	Random func() float64
	// Logger is told when the connection comes and goes. Default none.
	Logger *slog.Logger
	// Changed is told how the connection is whenever that changes: nil for well. It must not block.
	Changed func(err error)
}

func (o Options) withDefaults() Options {
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = ConnectTimeoutDefault
	}
	if o.ReconnectMin == 0 {
		o.ReconnectMin = ReconnectMinDefault
	}
	if o.ReconnectMax == 0 {
		o.ReconnectMax = ReconnectMaxDefault
	}
	if o.PingInterval == 0 {
		o.PingInterval = PingIntervalDefault
	}
	if o.Random == nil {
		o.Random = func() float64 { return 0 }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Changed == nil {
		o.Changed = func(error) {}
	}
	return o
}

// Validate reports every option at fault, by name. Files are looked for.
func (o Options) Validate() error {
	o = o.withDefaults()
	var all []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	all = append(all, CheckURLs(o.URLs))
	check((o.CertFile == "") == (o.KeyFile == ""), "CertFile and KeyFile: both or none")
	for name, file := range map[string]string{
		"CredentialsFile": o.CredentialsFile, "CAFile": o.CAFile, "CertFile": o.CertFile, "KeyFile": o.KeyFile,
	} {
		if file == "" {
			continue
		}
		_, err := os.ReadFile(file)
		check(err == nil, "%s: %w", name, err)
	}
	check(o.ConnectTimeout > 0, "ConnectTimeout %v: must be positive", o.ConnectTimeout)
	check(o.ReconnectMin > 0 && o.ReconnectMax >= o.ReconnectMin, "ReconnectMin %v and ReconnectMax %v: 0 < min <= max is needed", o.ReconnectMin, o.ReconnectMax)
	check(o.PingInterval > 0, "PingInterval %v: must be positive", o.PingInterval)
	return errors.Join(all...)
}

// delay is the wait after a round over all servers, the first round being 1.
func (o Options) delay(round int) time.Duration {
	d := o.ReconnectMax
	if round < 32 {
		d = min(o.ReconnectMin<<max(round-1, 0), o.ReconnectMax)
	}
	return d - time.Duration(o.Random()*float64(d)/2)
}

// options are those of the client. Publishing while there is no connection fails at once
// (ReconnectBufSize): what waited in a buffer could be sent long after its publisher gave up on it.
func (o Options) options() []natsgo.Option {
	out := []natsgo.Option{
		natsgo.Name(o.Name), natsgo.Timeout(o.ConnectTimeout),
		natsgo.RetryOnFailedConnect(true), natsgo.MaxReconnects(-1), natsgo.ReconnectBufSize(-1),
		natsgo.CustomReconnectDelay(o.delay),
		// Credentials that are refused now may be made good on the server: go on trying, as with
		// every other fault.
		natsgo.IgnoreAuthErrorAbort(),
		natsgo.PingInterval(o.PingInterval), natsgo.MaxPingsOutstanding(pingsMissedMax),
	}
	if o.CredentialsFile != "" {
		out = append(out, natsgo.UserCredentials(o.CredentialsFile))
	}
	if o.CAFile != "" {
		out = append(out, natsgo.RootCAs(o.CAFile))
	}
	if o.CertFile != "" {
		out = append(out, natsgo.ClientCert(o.CertFile, o.KeyFile))
	}
	return out
}

// CheckURLs reports why text names no servers. It never repeats a part that may hold a secret.
func CheckURLs(text string) error {
	parts := strings.Split(text, ",")
	if len(parts) > ServersMax {
		return fmt.Errorf("URLs: holds %d servers, at most %d are allowed", len(parts), ServersMax)
	}
	for i, part := range parts {
		if err := checkURL(strings.TrimSpace(part)); err != nil {
			return fmt.Errorf("URLs: entry %d %w", i+1, err)
		}
	}
	return nil
}
