package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// The commands of the binary, as Invocation.Command names them.
const (
	CommandServe     = "serve"
	CommandLogVerify = "log verify"
	CommandLogBackup = "log backup"
	CommandLogCopy   = "log copy"
	CommandLogServe  = "log serve"

	CommandViewsRebuild = "views rebuild"
	CommandViewsVerify  = "views verify"

	CommandHealth       = "health"
	CommandClusterNodes = "cluster nodes"

	CommandWatch   = "watch"
	CommandVersion = "version"
	CommandHelp    = "help" // help was asked for and has been printed
)

// envAPIKey is the variable of the key that the commands which ask a server send.
const envAPIKey = EnvPrefix + "API_KEY"

// Invocation is one call of the binary: what to do and with which settings.
type Invocation struct {
	Command string
	// Config is complete and valid. Commands other than serve read only the settings they offer as
	// flags; the rest hold their defaults.
	Config Config
	// BackupTo is set for CommandLogBackup: the folder to make.
	BackupTo string
	// LogCopy is set for CommandLogCopy.
	LogCopy LogCopy
	// ViewsServer is the server that CommandViewsRebuild and CommandViewsVerify ask to do the work;
	// empty: this process does it.
	ViewsServer string
	// APIKey is sent to ViewsServer; may be empty.
	APIKey Secret
	// Watch is set for CommandWatch.
	Watch Watch
	// Health is set for CommandHealth.
	Health Health
	// Warnings are worth a line in the log but no refusal: environment variables that start with
	// EnvPrefix and name no setting. They are no error because others may set such names
	// (Kubernetes does, for a service called quipu).
	Warnings []string
}

type cli struct {
	File    string    `name:"config" placeholder:"FILE" help:"JSON file of settings, keys as in the environment without QUIPU_ and in lower case (QUIPU_CONFIG)."`
	Serve   serve     `cmd:"" help:"Run the server."`
	Log     logGroup  `cmd:"" help:"Check, back up, copy or serve the log of a server."`
	Views   views     `cmd:"" help:"Check or build anew the views of a server."`
	Cluster onCluster `cmd:"" help:"Look at the nodes that share a log."`
	Watch   Watch     `cmd:"" help:"Print the frames of a run or an execution, one a line, as they come."`
	Health  Health    `cmd:"" help:"Ask a server whether it takes requests; exits with 1 if not."`
	Version noOptions `cmd:"" help:"Print the version."`
}

// serve is Config without its methods: kong would call Validate itself, before the lists are
// tidied, and report its problems as mistakes of the command line.
type serve Config

type logGroup struct {
	Verify logVerify `cmd:"" help:"Check every event of a stopped server, or a backup, and report damage with its place."`
	Backup logBackup `cmd:"" help:"Copy log, blobs and wrapped keys to another folder while the server goes on; the master key is left out."`
	Copy   LogCopy   `cmd:"" help:"Copy a log into another, each a data folder or a KurrentDB cluster: same streams, hashes and order; goes on where it was interrupted."`
	Serve  logServe  `cmd:"" help:"Serve a log, without executor and views, to nodes and other clients that speak KurrentDB's protocol."`
}

type logVerify struct {
	DataFolder DataFolder `embed:"" group:"Stores:"`
	Logging    Logging    `embed:"" group:"Log lines:"`
}

type logBackup struct {
	DataFolder DataFolder `embed:"" group:"Stores:"`
	To         string     `name:"to" required:"" placeholder:"DIR" help:"Folder to make; it must not exist or be empty, and lie outside of the data folder."`
	Logging    Logging    `embed:"" group:"Log lines:"`
}

type logServe struct {
	Addr       string     `name:"addr" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address of /health/live, /health/ready and /metrics; port 0 takes a free one."`
	Guard      Guard      `embed:"" group:"Who may call:"`
	DataFolder DataFolder `embed:"" group:"Stores:"`
	Names      LogNames   `embed:"" group:"Stores:"`
	Port       Port       `embed:"" group:"KurrentDB port:"`
	Process    Process    `embed:"" group:"Process:"`
	Logging    Logging    `embed:"" group:"Log lines:"`
}

func (l logServe) into(c *Config) {
	c.HTTP.Addr, c.Guard, c.Storage.DataFolder, c.LogNames = l.Addr, l.Guard, l.DataFolder, l.Names
	c.Port, c.Process, c.Logging = l.Port, l.Process, l.Logging
	if c.Port.Addr == "" {
		c.Port.Addr = LogServeAddr
	}
}

// LogCopy are the arguments of the log copy command. Each log is a data folder or the URL of a cluster.
type LogCopy struct {
	From          Secret  `name:"from" required:"" placeholder:"DIR|URL" help:"Log to copy: the data folder of a server, a backup, or esdb://host:port (also esdb+discover, kurrentdb, kurrentdb+discover); it is only read."`
	To            Secret  `name:"to" required:"" placeholder:"DIR|URL" help:"Log to fill, of the same forms; no server may use it meanwhile; what it holds must be the beginning of the other."`
	FromLogPrefix string  `name:"from-log-prefix" default:"quipu." placeholder:"PREFIX" help:"What the names of the streams begin with at a source that is a cluster."`
	ToLogPrefix   string  `name:"to-log-prefix" default:"quipu." placeholder:"PREFIX" help:"What the names of the streams begin with at a target that is a cluster."`
	Logging       Logging `embed:"" group:"Log lines:"`
}

type views struct {
	Rebuild onViews `cmd:"" help:"Build all views anew from the log, compare them with the ones served, and put them in their place; readers notice nothing."`
	Verify  onViews `cmd:"" help:"Compare all views with the log, row by row; exits with 1 if they differ."`
}

type onViews struct {
	Server     string     `name:"server" placeholder:"HOST:PORT" help:"Running server that is to do it; without it the work is done here: verify on any data folder, rebuild on that of a stopped server."`
	APIKey     Secret     `name:"api-key" placeholder:"KEY" help:"Key of the server, if it has any; better by environment (QUIPU_API_KEY), since flags show in process lists."`
	DataFolder DataFolder `embed:"" group:"Stores:"`
	Log        Log        `embed:"" group:"Stores:"`
	Names      LogNames   `embed:"" group:"Stores:"`
	Views      Views      `embed:"" group:"Views:"`
	Logging    Logging    `embed:"" group:"Log lines:"`
}

func (v onViews) into(inv *Invocation) {
	inv.ViewsServer, inv.APIKey = v.Server, v.APIKey
	inv.Config.Storage.DataFolder, inv.Config.Views, inv.Config.Logging = v.DataFolder, v.Views, v.Logging
	inv.Config.Log, inv.Config.LogNames = v.Log, v.Names
}

type onCluster struct {
	Nodes clusterNodes `cmd:"" help:"Print the nodes, those that died within the last minutes among them."`
}

type clusterNodes struct {
	URL     Secret  `name:"cluster" required:"" placeholder:"URL" help:"The database that nodes share, as for serve."`
	Logging Logging `embed:"" group:"Log lines:"`
}

// Watch are the arguments of the watch command. Without Run, Flow is the id of an execution.
type Watch struct {
	Flow        string `arg:"" help:"Flow name; alone, the id of an execution of any API."`
	Run         string `arg:"" optional:"" help:"Run name."`
	Server      string `name:"server" aliases:"addr" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Server to ask (QUIPU_ADDR; --addr is the older name)."`
	From        string `name:"from" help:"First offset to print (of an execution: position), or latest; 0 unless after is given."`
	After       string `name:"after" help:"Offset (of an execution: position) to go on behind, such as the last one seen."`
	Types       string `name:"types" help:"Event types to print, comma-separated."`
	ExecutionID string `name:"execution-id" help:"Which run of the name; the newest if empty."`
	Follow      bool   `name:"follow" help:"Go on with later runs of the name."`
	APIKey      Secret `name:"api-key" placeholder:"KEY" help:"Key of the server, if it has any; better by environment (QUIPU_API_KEY), since flags show in process lists."`
}

// Validate is called by kong.
func (w *Watch) Validate() error {
	switch {
	case w.Run != "":
	case w.ExecutionID != "":
		return errors.New("--execution-id chooses among the runs of a name: give <flow> and <run>, or the id alone as the argument")
	case w.Follow:
		return errors.New("--follow goes on with later runs of a name: give <flow> and <run>")
	}
	return nil
}

// Health are the arguments of the health command.
type Health struct {
	Server  string        `name:"server" aliases:"addr" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Server to ask (QUIPU_ADDR); without a host, or with one that stands for all addresses, this machine."`
	Live    bool          `name:"live" help:"Ask whether the process works at all, in place of whether it takes requests."`
	Timeout time.Duration `name:"timeout" default:"3s" help:"Time the answer may take."`
	APIKey  Secret        `name:"api-key" placeholder:"KEY" help:"Key of the server, if it has any: with one the answer names what is wrong; better by environment (QUIPU_API_KEY), since flags show in process lists."`
}

type noOptions struct{}

// UsageError says that the command line itself cannot be understood.
type UsageError struct{ Cause error }

// Error renders the fault and where to read more.
func (e *UsageError) Error() string { return e.Cause.Error() + "; see quipu --help" }

// Unwrap returns the cause.
func (e *UsageError) Unwrap() error { return e.Cause }

// Load reads the command line (args without the program's name), the environment (as os.Environ
// gives it) and the file that --config or QUIPU_CONFIG names. Help goes to stdout.
//
// A flag beats the environment, which beats the file. An empty environment variable counts as
// not set, since compose files and unit files pass empty ones through.
// Errors: *UsageError for a bad command line; Problems, all at once, for the rest.
func Load(args, environ []string, stdout io.Writer) (Invocation, error) {
	var c cli
	src := newSources(environ)
	helped := false
	parser, err := kong.New(&c,
		kong.Name("quipu"),
		kong.Description("Event-sourced workflow orchestrator. Flags beat QUIPU_* variables, which beat the file."),
		kong.Writers(stdout, stdout),
		// Exit is called after help has been printed; parsing then goes on, and its outcome no
		// longer matters.
		kong.Exit(func(int) { helped = true }),
		kong.Resolvers(src),
		kong.ValueFormatter(describe),
		// Kong's own reader takes 010 for 8; the other sources take it for 10.
		kong.KindMapper(reflect.Int, kong.MapperFunc(readInt)),
		// The other sources say what a duration looks like.
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(readDuration)),
	)
	if err != nil {
		return Invocation{}, fmt.Errorf("build the command line: %w", err)
	}
	if len(args) > 0 && args[0] == "help" {
		args = append(slices.Clone(args[1:]), "--help")
	}
	ctx, err := parser.Parse(args)
	switch {
	case helped:
		return Invocation{Command: CommandHelp, Config: Default()}, nil
	case err == nil && ctx.Command() == CommandVersion:
		// Wanted most when something is wrong, so it asks nothing of the settings.
		return Invocation{Command: CommandVersion, Config: Default()}, nil
	case len(src.problems) > 0:
		return Invocation{}, src.problems.err()
	case err != nil:
		return Invocation{}, &UsageError{err}
	}
	command, _, _ := strings.Cut(ctx.Command(), " <")
	inv := Invocation{Command: command, Config: Default(), Warnings: src.unknownEnv()}
	switch inv.Command {
	case CommandServe:
		inv.Config = Config(c.Serve)
	case CommandWatch:
		inv.Watch = c.Watch
	case CommandHealth:
		inv.Health = c.Health
	case CommandLogVerify:
		inv.Config.Storage.DataFolder, inv.Config.Logging = c.Log.Verify.DataFolder, c.Log.Verify.Logging
	case CommandLogBackup:
		inv.Config.Storage.DataFolder, inv.Config.Logging = c.Log.Backup.DataFolder, c.Log.Backup.Logging
		inv.BackupTo = c.Log.Backup.To
	case CommandLogCopy:
		inv.LogCopy, inv.Config.Logging = c.Log.Copy, c.Log.Copy.Logging
	case CommandLogServe:
		c.Log.Serve.into(&inv.Config)
	case CommandClusterNodes:
		inv.Config.Cluster.URL, inv.Config.Logging = c.Cluster.Nodes.URL, c.Cluster.Nodes.Logging
	case CommandViewsRebuild:
		c.Views.Rebuild.into(&inv)
	case CommandViewsVerify:
		c.Views.Verify.into(&inv)
	}
	inv.Config.tidy()
	return inv, inv.Config.Validate()
}

func readInt(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("number", &text); err != nil {
		return err
	}
	return parseInto(target, text)
}

func readDuration(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
		return err
	}
	return parseInto(target, text)
}

// tidy brings the lists that flags gave into the form the other sources have.
func (c *Config) tidy() {
	c.HTTP.CORSOrigins = splitList(strings.Join(c.HTTP.CORSOrigins, ","))
	c.Guard.Hosts = splitList(strings.Join(c.Guard.Hosts, ","))
	c.Outbound.Allow = splitList(strings.Join(c.Outbound.Allow, ","))
}

// describe adds unit, bounds and environment variable to a flag's line in the help.
func describe(v *kong.Value) string {
	for _, s := range settings() {
		if v.Flag == nil || s.Flag != v.Name {
			continue
		}
		note := s.Env()
		if allowed := s.allowed(); allowed != "" {
			note = allowed + "; " + note
		}
		return v.Help + " (" + note + ")"
	}
	return v.Help
}

// sources resolves settings from the environment and the file, as a kong resolver.
//
// Kong's own env tags are not used: there a resolver, and with it the file, would beat the
// environment.
type sources struct {
	env      map[string]string
	file     map[string]string
	loaded   bool
	problems Problems
}

func newSources(environ []string) *sources {
	s := &sources{env: map[string]string{}}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, EnvPrefix) && value != "" {
			s.env[name] = value
		}
	}
	return s
}

// Validate is part of kong's resolver and has nothing to check: Resolve sees everything first.
func (s *sources) Validate(*kong.Application) error { return nil }

// Resolve gives kong the text of a flag that the command line did not set.
func (s *sources) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !s.loaded {
		s.loaded = true
		s.load(fileFlag(ctx))
	}
	if len(s.problems) > 0 {
		return nil, nil // Load reports them; what kong makes of the rest no longer matters
	}
	if flag.Name == "api-key" {
		// What one client sends is no setting of a server, and the file is one of settings.
		if text, ok := s.env[envAPIKey]; ok {
			return text, nil
		}
	}
	for _, known := range settings() {
		// The server that watch asks is the one that serve starts where both read the same settings.
		if known.Flag != flag.Name && !slices.Contains(flag.Aliases, known.Flag) {
			continue
		}
		if text, ok := s.env[known.Env()]; ok {
			return text, nil
		}
		if text, ok := s.file[known.Key()]; ok {
			return text, nil
		}
	}
	return nil, nil
}

func fileFlag(ctx *kong.Context) string {
	for _, p := range ctx.Path {
		if p.Flag != nil && p.Flag.Name == "config" {
			path, _ := ctx.FlagValue(p.Flag).(string)
			return path
		}
	}
	return ""
}

// load reads the file and tries every value of both sources, so that all faults are reported at
// once and by their own names; kong would stop at the first.
func (s *sources) load(path string) {
	if path == "" {
		path = s.env[EnvPrefix+"CONFIG"]
	}
	if path != "" {
		s.readFile(path)
	}
	for _, known := range settings() {
		try := func(field, text string) {
			if err := parseInto(reflect.New(known.Type).Elem(), text); err != nil {
				s.problems = append(s.problems, Problem{Field: field, Fault: err.Error()})
			}
		}
		if text, ok := s.env[known.Env()]; ok {
			try(known.Env(), text)
		}
		if text, ok := s.file[known.Key()]; ok {
			try(path+": "+known.Key(), text)
		}
	}
}

func (s *sources) readFile(path string) {
	add := func(field, fault, fix string) {
		s.problems = append(s.problems, Problem{field, fault, fix})
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		var perr *os.PathError
		if errors.As(err, &perr) {
			err = perr.Err
		}
		add(path, "cannot be read: "+err.Error(), "correct --config or QUIPU_CONFIG")
		return
	}
	values := map[string]any{}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&values); err != nil {
		add(path, "is not one JSON object: "+err.Error(), "")
		return
	}
	if _, err := dec.Token(); err != io.EOF {
		add(path, "holds more than one JSON object", "keep one")
		return
	}
	s.file = map[string]string{}
	known := settings()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !slices.ContainsFunc(known, func(k setting) bool { return k.Key() == key }) {
			add(path+": "+key, "is no setting", "see the table in docs/operations.md")
			continue
		}
		text, fault := textOf(values[key])
		if fault != "" {
			add(path+": "+key, fault, "")
			continue
		}
		s.file[key] = text
	}
}

// textOf turns a JSON value into the text the other sources would hold.
func textOf(value any) (text, fault string) {
	switch v := value.(type) {
	case string:
		return v, ""
	case bool:
		return fmt.Sprint(v), ""
	case json.Number:
		return v.String(), ""
	case []any:
		items := make([]string, 0, len(v))
		for _, item := range v {
			word, ok := item.(string)
			if !ok || strings.Contains(word, ",") {
				return "", "holds an item that is not a string without comma"
			}
			items = append(items, word)
		}
		return strings.Join(items, ","), ""
	case nil:
		return "", "is null; leave it out for its default"
	default:
		return "", "is an object; settings are flat"
	}
}

func (s *sources) unknownEnv() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s.env)) {
		if name == EnvPrefix+"CONFIG" || name == envAPIKey || slices.ContainsFunc(settings(), func(k setting) bool { return k.Env() == name }) {
			continue
		}
		out = append(out, name+" names no setting and is ignored")
	}
	return out
}
