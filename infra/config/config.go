package config

import (
	"net"
	"net/netip"
	"strings"
	"time"
)

// Config is everything an operator can set. Its fields carry these tags: name (flag; the
// environment variable and the file's key follow from it), default, unit, min and max (both
// inclusive), oneof (allowed words) and help (one sentence: meaning, special value, interaction).
type Config struct {
	HTTP     HTTP     `embed:"" group:"HTTP:"`
	Guard    Guard    `embed:"" group:"Who may call:"`
	Storage  Storage  `embed:"" group:"Stores:"`
	Log      Log      `embed:"" group:"Stores:"`
	LogNames LogNames `embed:"" group:"Stores:"`
	Port     Port     `embed:"" group:"KurrentDB port:"`
	Keys     Keys     `embed:"" group:"Stores:"`
	Cluster  Cluster  `embed:"" group:"Several nodes:"`
	Logging  Logging  `embed:"" group:"Log lines:"`
	Process  Process  `embed:"" group:"Process:"`
	Runs     Runs     `embed:"" group:"Runs:"`
	Effects  Effects  `embed:"" group:"Tasks:"`
	Outbound Outbound `embed:"" group:"Outbound calls:"`
	Sockets  Sockets  `embed:"" group:"Sockets:"`
	Views    Views    `embed:"" group:"Views:"`
	LLM      LLM      `embed:"" group:"Models:"`
	Kafka    Kafka    `embed:"" group:"Other systems:"`
	Relay    Relay    `embed:"" group:"Other systems:"`
	Tracing  Tracing  `embed:"" group:"Traces:"`
	NATS     NATS     `embed:"" group:"NATS:"`
	Webhooks Webhooks `embed:"" group:"Webhooks:"`
}

// HTTP holds the settings of the listening side.
type HTTP struct {
	Addr         string   `name:"addr" default:"127.0.0.1:8080" unit:"host:port" help:"Address to serve HTTP and WebSocket on; port 0 takes a free one, an empty host all interfaces."`
	BodyBytesMax int      `name:"body-bytes-max" default:"4194304" unit:"bytes" min:"65536" max:"67108864" help:"Largest request body; a larger one is answered 413."`
	CORSOrigins  []string `name:"cors-origins" default:"" unit:"scheme://host[:port], comma-separated" help:"Browser origins that may call the API and open sockets; * allows any, empty none but the server's own."`
}

// Guard holds the settings of who may call.
type Guard struct {
	APIKeys  Secret   `name:"api-keys" default:"" help:"Keys that open the API: name:key or name:sha256:<hex of its SHA-256>, comma-separated; the name becomes the actor of what is done; a key has 16 to 256 characters of those that an HTTP token may have; give them by environment or file, since flags show in process lists; empty opens the API to whoever reaches addr."`
	LAOOpen  string   `name:"lao-open" default:"auto" oneof:"auto,yes,no" help:"Whether run-dag, task-status and the socket /ws/{flow}/{run} need no key although there are api-keys; auto: only while addr is a loopback address."`
	Hosts    []string `name:"hosts" default:"" unit:"host names, comma-separated" help:"Names that clients may address the server by, beside addresses, localhost and those of cors-origins; others are answered 403; * allows any; empty allows any unless addr is a loopback address."`
	Insecure bool     `name:"insecure" default:"false" negatable:"" help:"Whether to serve without api-keys on an address other than loopback, and the port of kurrentdb-addr without TLS on one: whoever reaches it may then do everything."`
}

// Storage holds the settings of the embedded stores.
type Storage struct {
	DataFolder   `embed:""`
	SegmentBytes int `name:"segment-bytes" default:"67108864" unit:"bytes" min:"2097152" max:"1073741824" help:"Size at which the embedded log starts its next segment file; files that exist keep theirs."`
}

// DataFolder is the one setting of the stores that every command on them takes.
type DataFolder struct {
	Data string `name:"data" default:"./data" unit:"folder" help:"Folder of the log, the views, the blobs and the keys; one server at a time."`
}

// Logging holds the settings of the process's own log lines.
type Logging struct {
	Level  string `name:"log-level" default:"info" oneof:"debug,info,warn,error" help:"Least level of log lines that are written."`
	Format string `name:"log-format" default:"text" oneof:"text,json" help:"Form of log lines on standard error."`
}

// Process holds the settings of starting and stopping.
type Process struct {
	DrainTimeout time.Duration `name:"drain-timeout" default:"10s" unit:"duration" min:"0s" max:"10m" help:"Budget at SIGTERM for requests, sockets and effects to end; what is left then is cancelled and carried on after the next start; 0s cancels at once."`
}

// Runs holds the bounds on runs.
type Runs struct {
	ActiveMax   int `name:"active-runs-max" default:"10000" unit:"runs" min:"1" max:"1000000" help:"Runs worked on at once; further starts are recorded and wait."`
	PendingMax  int `name:"pending-runs-max" default:"100000" unit:"runs" min:"0" max:"10000000" help:"Recorded starts that may wait for active-runs-max; beyond it a start is answered 429; 0 lets none wait."`
	SleepingMax int `name:"sleeping-runs-max" default:"1000000" unit:"runs" min:"0" max:"10000000" help:"Runs that only wait for a timer or a retry and are not held in memory, about 150 bytes each; one beyond it keeps its place among active-runs-max; 0 lets none sleep."`
}

// Effects holds the bounds on the work of tasks.
type Effects struct {
	Max         int           `name:"effects-max" default:"256" unit:"effects" min:"1" max:"65536" help:"Task attempts with effects that run at once; further ones wait their turn."`
	TaskTimeout time.Duration `name:"task-timeout" default:"2m" unit:"duration" min:"1ms" max:"168h" help:"Time one attempt of a task may take if its definition names none."`
}

// Outbound holds the rules for calls that tasks make to other systems.
type Outbound struct {
	ReplyBytesMax int      `name:"reply-bytes-max" default:"10485760" unit:"bytes" min:"1024" max:"268435456" help:"Largest reply an outbound call may read; a larger one fails the attempt."`
	Allow         []string `name:"outbound-allow" default:"" unit:"CIDR or host:port, comma-separated" help:"Addresses outbound calls may reach besides public ones; empty allows public ones only."`
	Loopback      string   `name:"outbound-loopback" default:"auto" oneof:"auto,yes,no" help:"Whether outbound calls may reach this machine; auto allows it only while addr is a loopback address."`
}

// Sockets holds the settings of live streams.
type Sockets struct {
	Max                 int           `name:"sockets-max" default:"10000" unit:"sockets" min:"0" max:"1000000" help:"Open sockets of the whole process; a further upgrade is answered 429; 0 allows none. The system's limit on open files must be higher."`
	PerRunMax           int           `name:"sockets-per-run-max" default:"10000" unit:"sockets" min:"1" max:"1000000" help:"Open sockets on one run; sockets-max still holds."`
	IdleTimeout         time.Duration `name:"socket-idle-timeout" default:"10m" unit:"duration" min:"2m" max:"24h" help:"How long a socket stays open once there is nothing left to follow on it."`
	Compression         bool          `name:"sockets-compression" default:"false" negatable:"" help:"Whether messages on sockets are compressed for clients that offer it; it saves bandwidth and costs CPU for each socket. What clients send is bounded after decompression."`
	LAOReplayWindow     time.Duration `name:"lao-replay-window" default:"30s" unit:"duration" min:"0s" max:"24h" help:"How long after its end a run is still replayed to a LAO client that connects without an offset; 0s replays unfinished runs only."`
	MaskFrames          bool          `name:"mask-frames" default:"true" negatable:"" help:"Whether secrets are masked in frames; turn off only where every reader may see them."`
	FrameInlineBytesMax int           `name:"frame-inline-bytes-max" default:"65536" unit:"bytes" min:"1024" max:"4194304" help:"Largest payload field sent within a frame; a larger one is sent as a link."`
}

// Views holds the settings of the read models.
type Views struct {
	URL         Secret        `name:"views" default:"" help:"Where the views are kept: postgres://user:password@host/database, or empty for SQLite files in the data folder; views are derived from the log and can be built anew."`
	Linger      time.Duration `name:"views-linger" default:"20ms" unit:"duration" min:"0s" max:"10s" help:"Least pace of commits to the views while they are caught up: events within it share one; under load commits come up to 100ms apart; a reader that waits for them cuts it short; 0s commits at once."`
	BatchMax    int           `name:"views-batch-max" default:"5000" unit:"events" min:"1" max:"100000" help:"Events of one commit to the views while they catch up."`
	ReadersMax  int           `name:"views-readers-max" default:"8" unit:"queries" min:"1" max:"64" help:"Queries of the views at once; further ones wait their turn."`
	ReadTimeout time.Duration `name:"views-read-timeout" default:"5s" unit:"duration" min:"10ms" max:"10m" help:"Time one query of the views may take; then it is answered 504."`
}

// LLM holds the endpoint that agent tasks use if they name none.
type LLM struct {
	BaseURL string `name:"llm-base-url" default:"" unit:"URL" help:"Endpoint that speaks the OpenAI chat protocol, for agent tasks that name none; empty answers those by the built-in deterministic provider; a private host also needs outbound-allow."`
	APIKey  Secret `name:"llm-api-key" default:"" help:"Key for llm-base-url; give it by environment or file, since flags show in process lists; empty sends none."`
	Model   string `name:"llm-model" default:"" unit:"model name" help:"Model for agent tasks that name none; empty fails such tasks."`
}

// ServesLoopbackOnly reports whether Addr can be reached from this machine only.
func (h HTTP) ServesLoopbackOnly() bool { return loopback(h.Addr) }

// LAOIsOpen reports whether the routes of LAO need no key: what LAOOpen says, and for auto whether
// the server is reachable from this machine only.
func (c Config) LAOIsOpen() bool {
	return c.Guard.LAOOpen == "yes" || c.Guard.LAOOpen == "auto" && c.HTTP.ServesLoopbackOnly()
}

// LoopbackAllowed reports whether outbound calls may reach this machine: what OutboundLoopback
// says, and for auto whether the server itself is reachable from this machine only.
func (c Config) LoopbackAllowed() bool {
	return c.Outbound.Loopback == "yes" || c.Outbound.Loopback == "auto" && c.HTTP.ServesLoopbackOnly()
}

// Allowed splits Allow into address ranges and host:port pairs (host in lower case), each in the
// given order. A single address counts as a range of one. What Validate would refuse is left out.
func (o Outbound) Allowed() (ranges []netip.Prefix, hosts []string) {
	for _, entry := range o.Allow {
		if prefix, host, ok := parseAllow(entry); ok && host == "" {
			ranges = append(ranges, prefix)
		} else if ok {
			hosts = append(hosts, host)
		}
	}
	return ranges, hosts
}

// parseAllow reads one entry of Allow: a range, an address or a host:port.
func parseAllow(entry string) (prefix netip.Prefix, host string, ok bool) {
	if p, err := netip.ParsePrefix(entry); err == nil {
		return p.Masked(), "", true
	}
	if ip, err := netip.ParseAddr(entry); err == nil && ip.Zone() == "" {
		return netip.PrefixFrom(ip, ip.BitLen()), "", true
	}
	name, port, err := net.SplitHostPort(entry)
	if err != nil || name == "" || strings.ContainsAny(name, "/ *@") || !portOK(port, 1) {
		return netip.Prefix{}, "", false
	}
	return netip.Prefix{}, net.JoinHostPort(strings.ToLower(name), port), true
}
