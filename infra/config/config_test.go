package config

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the table in docs/operations.md")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func load(t *testing.T, args []string, environ ...string) (Invocation, error) {
	t.Helper()
	var out strings.Builder
	return Load(args, environ, &out)
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "quipu.json")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestDefault_IsValidAndWhatServeStartsWith(t *testing.T) {
	require.NoError(t, Default().Validate())
	inv, err := load(t, []string{"serve"})
	require.NoError(t, err)
	require.Equal(t, Invocation{Command: CommandServe, Config: Default()}, inv)
}

// Every kind of setting is taken from the strongest source that names it.
func TestLoad_Precedence(t *testing.T) {
	for _, c := range []struct {
		flag, weak, middle, strong string // values for file, environment and flag
		get                        func(Config) any
		want                       [4]any // default, file, environment, flag
	}{
		{
			"addr", `"[::1]:1"`, "127.0.0.2:2", "localhost:3",
			func(c Config) any { return c.HTTP.Addr },
			[4]any{"127.0.0.1:8080", "[::1]:1", "127.0.0.2:2", "localhost:3"},
		},
		{
			"effects-max", `11`, "012", "013", // no octal anywhere
			func(c Config) any { return c.Effects.Max },
			[4]any{256, 11, 12, 13},
		},
		{
			"drain-timeout", `"1s"`, "2s", "3s",
			func(c Config) any { return c.Process.DrainTimeout.String() },
			[4]any{"10s", "1s", "2s", "3s"},
		},
		{
			"mask-frames", `false`, "true", "false",
			func(c Config) any { return c.Sockets.MaskFrames },
			[4]any{true, false, true, false},
		},
		{
			"cors-origins", `["http://a","http://b"]`, "http://c, http://d", "http://e",
			func(c Config) any { return strings.Join(c.HTTP.CORSOrigins, " ") },
			[4]any{"", "http://a http://b", "http://c http://d", "http://e"},
		},
		{
			"llm-api-key", `"k1"`, "k2", "k3",
			func(c Config) any { return c.LLM.APIKey.Reveal() },
			[4]any{"", "k1", "k2", "k3"},
		},
	} {
		t.Run(c.flag, func(t *testing.T) {
			key := strings.ReplaceAll(c.flag, "-", "_")
			path := file(t, `{"`+key+`":`+c.weak+`}`)
			env := EnvPrefix + strings.ToUpper(key) + "=" + c.middle
			opt := "--" + c.flag + "=" + c.strong
			for i, got := range []func() (Invocation, error){
				func() (Invocation, error) { return load(t, []string{"serve"}) },
				func() (Invocation, error) { return load(t, []string{"serve", "--config", path}) },
				func() (Invocation, error) { return load(t, []string{"serve", "--config", path}, env) },
				func() (Invocation, error) { return load(t, []string{"serve", "--config", path, opt}, env) },
			} {
				inv, err := got()
				require.NoError(t, err)
				require.Equal(t, c.want[i], c.get(inv.Config), "source %d", i)
			}
		})
	}
}

func TestLoad_FlagCanEmptyAList(t *testing.T) {
	inv, err := load(t, []string{"serve", "--outbound-allow="}, "QUIPU_OUTBOUND_ALLOW=10.0.0.0/8")
	require.NoError(t, err)
	require.Empty(t, inv.Config.Outbound.Allow)
}

func TestLoad_EmptyEnvironmentVariableCountsAsUnset(t *testing.T) {
	inv, err := load(t, []string{"serve"}, "QUIPU_ADDR=", "QUIPU_EFFECTS_MAX=", "QUIPU_CONFIG=")
	require.NoError(t, err)
	require.Equal(t, Default(), inv.Config)
}

func TestLoad_FileNamedByEnvironmentAndOverruledByFlag(t *testing.T) {
	weak, strong := file(t, `{"addr":"[::1]:1"}`), file(t, `{"addr":"[::1]:2"}`)
	inv, err := load(t, []string{"serve"}, "QUIPU_CONFIG="+weak)
	require.NoError(t, err)
	require.Equal(t, "[::1]:1", inv.Config.HTTP.Addr)
	inv, err = load(t, []string{"--config", strong, "serve"}, "QUIPU_CONFIG="+weak)
	require.NoError(t, err)
	require.Equal(t, "[::1]:2", inv.Config.HTTP.Addr)
}

// One name for the server to ask, whatever is asked; the address it serves on names it too.
func TestLoad_WatchNamesItsServer(t *testing.T) {
	for server, args := range map[string][]string{
		"h:1": {"--server", "h:1"}, "h:2": {"--addr", "h:2"}, "h:3": nil,
	} {
		inv, err := load(t, append([]string{"watch", "f", "r", "--after", "7"}, args...), "QUIPU_ADDR=h:3")
		require.NoError(t, err)
		require.Equal(t, CommandWatch, inv.Command)
		require.Equal(t, Watch{Flow: "f", Run: "r", Server: server, After: "7"}, inv.Watch)
	}
	inv, err := load(t, []string{"watch", "0192-id"})
	require.NoError(t, err)
	require.Equal(t, CommandWatch, inv.Command)
	require.Equal(t, Watch{Flow: "0192-id", Server: "127.0.0.1:8080"}, inv.Watch)
	for _, flags := range [][]string{{"--follow"}, {"--execution-id", "x"}} {
		_, err = load(t, append([]string{"watch", "0192-id"}, flags...))
		var usage *UsageError
		require.ErrorAs(t, err, &usage)
		require.ErrorContains(t, err, "<flow> and <run>")
	}
	inv, err = load(t, []string{"views", "verify"}, "QUIPU_ADDR=h:3")
	require.NoError(t, err)
	require.Empty(t, inv.ViewsServer, "work on the folder is not turned into a request")
}

// A flag that does nothing would be a promise that is not kept.
func TestLoad_EachCommandOffersItsOwnFlagsOnly(t *testing.T) {
	for command, want := range map[string]string{
		"log verify": "help config data log-level log-format",
		"log backup": "help config data to log-level log-format",
		"log copy":   "help config from to from-log-prefix to-log-prefix log-level log-format",

		"views rebuild": "help config server api-key data log log-prefix views views-linger views-batch-max views-readers-max views-read-timeout log-level log-format",
		"views verify":  "help config server api-key data log log-prefix views views-linger views-batch-max views-readers-max views-read-timeout log-level log-format",
	} {
		var out strings.Builder
		_, err := Load(append(strings.Fields(command), "--help"), nil, &out)
		require.NoError(t, err)
		var flags []string
		for _, m := range regexp.MustCompile(`(?m)^ +(?:-h, )?--([a-z-]+)`).FindAllStringSubmatch(out.String(), -1) {
			flags = append(flags, m[1])
		}
		require.ElementsMatch(t, strings.Fields(want), flags, command)
	}
}

func TestLoad_Commands(t *testing.T) {
	inv, err := load(t, []string{"log", "verify", "--data", "/d"}, "QUIPU_LOG_FORMAT=json", "QUIPU_ADDR=:9")
	require.NoError(t, err)
	require.Equal(t, CommandLogVerify, inv.Command)
	want := Default()
	want.Storage.Data, want.Logging.Format = "/d", "json"
	require.Equal(t, want, inv.Config, "log verify takes its own settings only")

	inv, err = load(t, []string{"log", "backup", "--to", "/b"}, "QUIPU_DATA=/d", "QUIPU_LOG_FORMAT=json", "QUIPU_TO=/x", "QUIPU_SEGMENT_BYTES=2097152")
	require.NoError(t, err)
	require.Equal(t, CommandLogBackup, inv.Command)
	require.Equal(t, "/b", inv.BackupTo)
	require.Equal(t, want, inv.Config, "log backup takes its own settings only")
	_, err = load(t, []string{"log", "backup"}, "QUIPU_TO=/x")
	require.ErrorContains(t, err, "--to", "where to is never taken from anywhere else")

	inv, err = load(t, []string{"log", "copy", "--from", "/a", "--to", "esdb://u:hunter2@h", "--to-log-prefix", "p."}, "QUIPU_LOG_FORMAT=json", "QUIPU_FROM=/x")
	require.NoError(t, err)
	require.Equal(t, CommandLogCopy, inv.Command)
	require.Equal(t, "/a", inv.LogCopy.From.Reveal())
	require.Equal(t, "esdb://u:hunter2@h", inv.LogCopy.To.Reveal())
	require.Equal(t, "quipu.", inv.LogCopy.FromLogPrefix)
	require.Equal(t, "p.", inv.LogCopy.ToLogPrefix)
	require.NotContains(t, fmt.Sprintf("%+v", inv.LogCopy), "hunter2")
	_, err = load(t, []string{"log", "copy", "--from", "/a"}, "QUIPU_TO=/x")
	require.ErrorContains(t, err, "--to", "where to is never taken from anywhere else")

	for _, command := range []string{CommandViewsRebuild, CommandViewsVerify} {
		inv, err = load(t, append(strings.Fields(command), "--data", "/d"), "QUIPU_VIEWS=postgres://u:hunter2@h/db", "QUIPU_LOG_FORMAT=json", "QUIPU_SERVER=x:1", "QUIPU_ADDR=:9")
		require.NoError(t, err)
		require.Equal(t, command, inv.Command)
		require.Empty(t, inv.ViewsServer, "who does the work is never taken from anywhere else")
		of := want
		of.Views.URL = "postgres://u:hunter2@h/db"
		require.Equal(t, of, inv.Config)
		require.NotContains(t, inv.Config.Redacted(), "hunter2")
	}
	inv, err = load(t, []string{"views", "verify", "--server", "h:1"})
	require.NoError(t, err)
	require.Equal(t, "h:1", inv.ViewsServer)

	inv, err = load(t, []string{"version"}, "QUIPU_CONFIG=/does/not/exist")
	require.NoError(t, err)
	require.Equal(t, CommandVersion, inv.Command)

	var out strings.Builder
	inv, err = Load([]string{"serve", "--help"}, nil, &out)
	require.NoError(t, err)
	require.Equal(t, CommandHelp, inv.Command)
	words := strings.Join(strings.Fields(out.String()), " ") // the help breaks lines as it likes
	for _, s := range settings() {
		require.Contains(t, strings.ReplaceAll(words, "[no-]", ""), "--"+s.Flag)
		require.Contains(t, words, s.Env())
	}
	for _, group := range strings.Fields("HTTP: call: Stores: lines: Process: Runs: Tasks: calls: Sockets: Views: Models:") {
		require.Contains(t, words, group, "flags stand in groups")
	}
	ungrouped, _, _ := strings.Cut(out.String(), "\nHTTP:")
	require.NotContains(t, ungrouped, "--addr")
	require.Contains(t, ungrouped, "--config")
}

// help is a command too: of the whole, or of one command.
func TestLoad_Help(t *testing.T) {
	for _, c := range [][2]string{{"help", "--help"}, {"help watch", "watch --help"}, {"help log verify", "log verify --help"}} {
		var asked, flagged strings.Builder
		inv, err := Load(strings.Fields(c[0]), nil, &asked)
		require.NoError(t, err)
		require.Equal(t, CommandHelp, inv.Command)
		_, err = Load(strings.Fields(c[1]), nil, &flagged)
		require.NoError(t, err)
		require.Equal(t, flagged.String(), asked.String())
	}
	var out strings.Builder
	_, err := Load([]string{"help"}, nil, &out)
	require.NoError(t, err)
	for _, command := range []string{CommandServe, CommandLogVerify, CommandLogBackup, CommandLogCopy, CommandLogServe, CommandViewsRebuild, CommandViewsVerify, CommandWatch, CommandVersion} {
		require.Contains(t, out.String(), "\n  "+command+" ")
	}
}

func TestLoad_UsageErrors(t *testing.T) {
	for _, args := range [][]string{{}, {"sevre"}, {"serve", "--adr=x"}, {"serve", "--effects-max=many"}, {"serve", "extra"}} {
		_, err := load(t, args)
		var usage *UsageError
		require.ErrorAs(t, err, &usage, "%v", args)
		require.Contains(t, err.Error(), "--help")
	}
}

// A flag is judged in the words that the environment and the file are.
func TestLoad_FlagsSpeakLikeTheOtherSources(t *testing.T) {
	for flag, want := range map[string]string{
		"--drain-timeout=5": `"5" is not a duration; write it like 1.5s, 10m or 24h`,
		"--effects-max=4k":  `"4k" is not a whole number; write digits only, without a unit`,
	} {
		_, err := load(t, []string{"serve", flag})
		require.ErrorContains(t, err, want)
	}
}

func TestLoad_UnknownVariableWarns(t *testing.T) {
	inv, err := load(t, []string{"serve"}, "QUIPU_ADRR=:1", "PATH=/bin")
	require.NoError(t, err)
	require.Equal(t, []string{"QUIPU_ADRR names no setting and is ignored"}, inv.Warnings)
}

// Faults of both sources come together, each under the name its author used.
func TestLoad_ReportsAllUnreadableValuesAtOnce(t *testing.T) {
	path := file(t, `{"effects_max":"many","task_timeout":5,"mask_frames":"maybe","nonsense":1,"data":null,"llm_model":{},"cors_origins":[1]}`)
	_, err := load(t, []string{"serve", "--config", path}, "QUIPU_SOCKETS_MAX=1.5")
	var problems Problems
	require.ErrorAs(t, err, &problems)
	var fields []string
	for _, p := range problems {
		fields = append(fields, strings.TrimPrefix(p.Field, path+": "))
	}
	require.ElementsMatch(t, []string{
		"effects_max", "task_timeout", "mask_frames", "nonsense", "data", "llm_model", "cors_origins", "QUIPU_SOCKETS_MAX",
	}, fields)
}

func TestLoad_UnreadableFiles(t *testing.T) {
	for content, want := range map[string]string{
		`{"addr":`: "is not one JSON object",
		`[1]`:      "is not one JSON object",
		`{} {}`:    "more than one JSON object",
		``:         "is not one JSON object",
	} {
		_, err := load(t, []string{"serve", "--config", file(t, content)})
		require.ErrorContains(t, err, want)
	}
	_, err := load(t, []string{"serve", "--config", filepath.Join(t.TempDir(), "absent.json")})
	require.ErrorContains(t, err, "cannot be read")
}

// Each bound holds exactly at its edge, as the table in the docs says.
func TestValidate_BoundsAtTheEdges(t *testing.T) {
	bounded := 0
	for _, s := range settings() {
		if s.Min == "" {
			require.NotContains(t, []reflect.Kind{reflect.Int, reflect.Int64}, s.Type.Kind(), "%s is a number without bounds", s.Flag)
			continue
		}
		bounded++
		var low, high int64
		if s.Type.Kind() == reflect.Int {
			low, high = int64(mustInt(s.Min)), int64(mustInt(s.Max))
		} else {
			low, high = int64(mustDuration(s.Min)), int64(mustDuration(s.Max))
		}
		for value, ok := range map[int64]bool{low: true, high: true, low - 1: false, high + 1: false} {
			c := Default()
			reflect.ValueOf(&c).Elem().FieldByIndex(s.Path).SetInt(value)
			err := c.Validate()
			if ok {
				require.NoError(t, err, "%s = %d", s.Flag, value)
				continue
			}
			var problems Problems
			require.ErrorAs(t, err, &problems, "%s = %d", s.Flag, value)
			require.Len(t, problems, 1)
			require.Equal(t, s.Key(), problems[0].Field)
			for _, part := range []string{"outside", "--" + s.Flag, s.Env(), s.Min, s.Max} {
				require.Contains(t, err.Error(), part)
			}
		}
	}
	require.Equal(t, 32, bounded, "a setting with bounds was added or lost: adjust the count")
}

func TestValidate_ReportsEverythingAtOnce(t *testing.T) {
	c := Default()
	c.HTTP.Addr = "8080"
	c.HTTP.CORSOrigins = []string{"https://ok:1", "https://no/path"}
	c.Guard.APIKeys, c.Guard.LAOOpen = "hunter2hunter2hunter2, a:hunter2", "maybe"
	c.Guard.Hosts = []string{"ok", "http://h", "h:1"}
	c.Storage.Data = " "
	c.Logging.Level, c.Logging.Format = "loud", "xml"
	c.Effects.Max = 0
	c.Outbound.Allow = []string{"10.0.0.0/8", "db", "10.0.0.0/40", "*:80"}
	c.Outbound.Loopback = "maybe"
	c.LLM.BaseURL = "ftp://user:hunter2@h"
	c.Views.URL = "mysql://user:hunter2@h/db"
	err := c.Validate()
	var problems Problems
	require.ErrorAs(t, err, &problems)
	count := map[string]int{}
	for _, p := range problems {
		count[p.Field]++
		require.NotEmpty(t, p.Fix, p.Field)
	}
	require.Equal(t, map[string]int{
		"addr": 1, "cors_origins": 1, "data": 1, "log_level": 1, "log_format": 1, "effects_max": 1,
		"outbound_allow": 3, "outbound_loopback": 1, "llm_base_url": 1, "api_keys": 2, "lao_open": 1, "hosts": 2,
		"views": 1,
	}, count)
	require.NotContains(t, err.Error(), "hunter2")
}

func TestValidate_ViewsURL(t *testing.T) {
	for url, ok := range map[string]bool{
		"": true, "postgres://h/db": true, "postgresql://u:p@h:5432/db?sslmode=disable": true, "postgres:///db?host=/run/postgresql": true,
		"h:5432": false, "postgres:": false, "postgres:///db": false, "https://h/db": false, "postgres://%zz": false, " ": false,
	} {
		c := Default()
		c.Views.URL = Secret(url)
		require.Equal(t, ok, c.Validate() == nil, "%q", url)
	}
}

func TestValidate_Addresses(t *testing.T) {
	for addr, ok := range map[string]bool{
		":0": true, ":65535": true, "[::1]:80": true, "host:80": true,
		"": false, ":": false, ":65536": false, ":-1": false, ":+1": false, ":http": false, "::1:80": false,
	} {
		c := Default()
		c.HTTP.Addr, c.Guard.Insecure = addr, true
		require.Equal(t, ok, c.Validate() == nil, "%q", addr)
	}
}

func TestLoopbackAllowed(t *testing.T) {
	for _, c := range []struct {
		mode, addr string
		want       bool
	}{
		{"auto", "127.0.0.1:1", true},
		{"auto", "127.9.9.9:1", true},
		{"auto", "[::1]:1", true},
		{"auto", "[::ffff:127.0.0.1]:1", true},
		{"auto", "LocalHost:1", true},
		{"auto", ":1", false},
		{"auto", "0.0.0.0:1", false},
		{"auto", "localhost.example.org:1", false},
		{"auto", "bad", false},
		{"yes", ":1", true},
		{"no", "127.0.0.1:1", false},
	} {
		conf := Default()
		conf.Outbound.Loopback, conf.HTTP.Addr = c.mode, c.addr
		require.Equal(t, c.want, conf.LoopbackAllowed(), "%+v", c)
	}
}

func TestAllowed_SplitsRangesAndHosts(t *testing.T) {
	ranges, hosts := Outbound{Allow: []string{"10.1.2.3/8", "::1", "192.168.0.7", "DB.internal:5432", "[fd00::1]:80", "junk"}}.Allowed()
	require.Equal(t, "[10.0.0.0/8 ::1/128 192.168.0.7/32]", fmt.Sprint(ranges))
	require.Equal(t, []string{"db.internal:5432", "[fd00::1]:80"}, hosts)
}

// A key must not reach a log, whichever way the configuration is printed.
func TestSecret_IsNeverPrinted(t *testing.T) {
	c := Default()
	c.LLM.APIKey = "sk-hunter2"
	asJSON, err := json.Marshal(c)
	require.NoError(t, err)
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("configuration", "config", c, "key", c.LLM.APIKey)
	for _, printed := range []string{
		c.Redacted(), string(asJSON), logged.String(),
		fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%s %q %x %d", c.LLM.APIKey, c.LLM.APIKey, c.LLM.APIKey, c.LLM.APIKey),
	} {
		require.NotContains(t, printed, "hunter2")
		require.NotContains(t, printed, fmt.Sprintf("%x", "hunter2"))
	}
	require.Contains(t, c.Redacted(), "llm_api_key=***\n")
	require.Contains(t, Default().Redacted(), "llm_api_key=\n", "an absent key shows as absent")
	require.Equal(t, len(settings()), strings.Count(c.Redacted(), "\n"))
}

const (
	tableBegin = "<!-- configuration:begin (written by go test ./infra/config -update) -->\n"
	tableEnd   = "<!-- configuration:end -->"
)

// The table operators read is the struct the program reads.
func TestDocs_TableEqualsTheStruct(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "operations.md")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(raw), tableBegin)
	require.True(t, ok, "no line %q", tableBegin)
	table, after, ok := strings.Cut(rest, tableEnd)
	require.True(t, ok, "no line %q", tableEnd)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(before+tableBegin+Table()+tableEnd+after), 0o644))
		return
	}
	require.Equal(t, Table(), table, "run: make golden")
}

func TestSettings_EachIsDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range settings() {
		require.False(t, seen[s.Flag], "%s twice", s.Flag)
		seen[s.Flag] = true
		require.NotEmpty(t, s.Help, s.Flag)
		require.True(t, strings.HasSuffix(s.Help, "."), "%s: the help is no sentence", s.Flag)
		require.NotContains(t, s.Help, "|", "%s: the help would break the table", s.Flag)
	}
}
