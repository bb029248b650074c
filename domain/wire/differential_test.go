package wire_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/wire"
)

// pair is a decoder and its oracle.
type pair struct {
	name        string
	decode      func([]byte) (any, error)
	oracle      func([]byte) (any, error)
	golden      string // prefix of its golden files
	passesOver  bool   // keys it does not know
	spareFields string // what the oracle lets pass in events of one family, and only there
}

func of[T any](f func([]byte) (T, error)) func([]byte) (any, error) {
	return func(b []byte) (any, error) { return f(b) }
}

func typed[T any](f func(string, []byte) (T, error), typ string) func([]byte) (any, error) {
	return func(b []byte) (any, error) { return f(typ, b) }
}

func pairs() []pair {
	var out []pair
	types := wire.RunTypes()
	slices.Sort(types)
	for _, typ := range types {
		p := pair{name: typ, decode: typed(wire.DecodeRun, typ), oracle: of(oracleRuns[typ]), golden: typ}
		if strings.HasPrefix(typ, "run.tool_") || strings.HasPrefix(typ, "run.llm_") {
			p.spareFields = "started_at error details"
		}
		out = append(out, p)
	}
	for _, typ := range wire.WorkflowTypes() {
		out = append(out, pair{name: typ, decode: typed(wire.DecodeWorkflow, typ), oracle: typed(oracleWorkflow, typ), golden: typ})
	}
	return append(
		out,
		pair{name: "name", decode: typed(wire.DecodeNameBound, wire.NameBound), oracle: of(oracleNameBound), golden: "name."},
		pair{name: "channel", decode: typed(wire.DecodeChannelMessage, wire.ChannelMessage), oracle: of(oracleChannelMessage), golden: "channel."},
		pair{name: "endpoint", decode: typed(wire.DecodeEndpointCreated, wire.EndpointCreated), oracle: of(oracleEndpointCreated), golden: "endpoint."},
		pair{name: "metadata", decode: of(wire.DecodeMetadata), oracle: of(oracleMetadata), passesOver: true},
		pair{name: "definition", decode: func(b []byte) (any, error) { return wire.DecodeDefinition(domain.Raw(b)) }, oracle: of(oracleDefinition), golden: "definition"},
	)
}

// seeds are the golden files of a pair.
func (p pair) seeds(t testing.TB) (out [][]byte) {
	t.Helper()
	if p.golden == "" {
		return [][]byte{sealedMetadata(), []byte(`{"at":"2026-01-02T03:04:05.678Z","actor":{"kind":"system"},"$more":[{}]}`)}
	}
	files, err := filepath.Glob("testdata/" + p.golden + "*.golden.json")
	require.NoError(t, err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		out = append(out, bytes.TrimSuffix(b, []byte("\n")))
	}
	require.NotEmpty(t, out, p.name)
	return out
}

// agree fails if the two decoders answer differently and not on purpose. It reports whether they read
// the bytes.
func (p pair) agree(t testing.TB, data []byte) bool {
	t.Helper()
	before := bytes.Clone(data)
	got, err := p.decode(data)
	want, oracleErr := p.oracle(before)
	require.Equal(t, before, data, "decoding changed the event's bytes")
	switch {
	case err == nil && oracleErr == nil:
		if diff := cmp.Diff(want, got); diff != "" && (!p.passesOver || !otherSpelling(data)) {
			t.Fatalf("%s: %s: %s", p.name, data, diff)
		}
	case err == nil && (!p.passesOver || !otherSpelling(data)):
		t.Fatalf("%s: %s: decoded, but the oracle says %v", p.name, data, oracleErr)
	case err != nil:
		require.ErrorIs(t, err, domain.ErrCorrupt)
		if oracleErr == nil && !p.onPurpose(data, err) {
			t.Fatalf("%s: %s: refused, but not by the oracle: %v", p.name, data, err)
		}
	}
	return err == nil
}

// onPurpose is the list of what encoding/json lets pass and the decoder refuses; nobody ever wrote it.
func (p pair) onPurpose(data []byte, err error) bool {
	var e *domain.Error
	if !errors.As(err, &e) {
		return false
	}
	field := e.Field[strings.LastIndexByte(e.Field, '/')+1:]
	reason, offset, _ := strings.Cut(e.Message, " at byte ")
	at, err := strconv.Atoi(offset)
	if err != nil || at > len(data) {
		return false
	}
	switch reason {
	case "duplicate key":
		return !utf8.Valid(data) || strings.Contains(rawjson.Check(data, 10_000).Error(), "duplicate key")
	case "invalid UTF-8 in a string":
		return !utf8.Valid(data)
	case "unknown field":
		return slices.Contains(strings.Fields(p.spareFields), field) || foreignSpelling(field)
	case "expected a string", "expected a number", "expected true or false", "expected an object", "expected an array":
		return bytes.HasPrefix(data[at:], []byte("null"))
	}
	return false
}

// foreignSpelling reports whether encoding/json would take a key for one that it is not.
func foreignSpelling(key string) bool {
	return strings.Contains(key, `\`) || slices.ContainsFunc(fieldNames, func(name string) bool { return strings.EqualFold(name, key) })
}

func otherSpelling(metadata []byte) bool {
	found := bytes.IndexByte(metadata, '\\') >= 0 || !utf8.Valid(metadata)
	for _, m := range append(rawjson.Members(metadata), rawjson.Members(valueOf(metadata, "/actor"))...) {
		found = found || !slices.Contains(fieldNames, m.Key) && foreignSpelling(m.Key)
	}
	return found
}

func valueOf(b []byte, pointer string) []byte {
	v, _ := rawjson.Get(b, pointer)
	return v
}

var fieldNames = strings.Fields(`run_id source flow_name run_name workflow_id workflow_version endpoint definition input body_sha256 secrets
 connection_id metadata retry_of reused offset request action approver comment channel signal_id message_id payload waits
	task task_id iteration node function deadline attempt reason started_at output gates error partial_results retry_at due_at details results
	at sealed fp blob bytes id ciphertext edge holds type code message json holes name description endpoint graph execution_id endpoint_id
	slug key_sha256 actor kind via command_id $correlationId $causationId traceparent prev data_sha256 nodes edges tag calls pure timer
	templates timeout retry params attempts initial factor max jitter target condition`)

// words are what mutations put in: pieces that change the meaning rather than only the grammar.
func words() []string {
	out := []string{
		"null", "true", "false", "0", "-0", "-1", "1.0", "1e2", "01", "9223372036854775807", "9223372036854775808", "1e400", `""`, `"x"`, "{}", "[]",
		"[[1]]", `{"a":{"b":[null]}}`, ",", ":", "{", "}", "[", "]", `"`, `\`, `\u0061`, `\ud800`, " ", "\n", "\x00", "\xff", "é", "K", "ſ",
		`"2026-02-29T00:00:00.000Z"`, `"2028-02-29T00:00:00.000Z"`, `"2026-01-02T3:04:05.678Z"`, `"2026-01-02T03:04:05,678Z"`, `"2026-01-02T24:00:00.000Z"`,
		`"2026-04-31T00:00:00.000Z"`, `"0000-01-01T00:00:00.000Z"`, `"2026-01-02T03:04:60.000Z"`, `"1h"`, `"-1s"`,
	}
	for _, name := range fieldNames {
		out = append(out, `"`+name+`":null,`, `"`+name+`":1,`, `"`+name+`":"y",`, `"`+strings.ToUpper(name)+`"`, `"`+name+`"`)
	}
	return out
}

func mutate(r *rand.Rand, b []byte, words []string) []byte {
	b = bytes.Clone(b)
	for range 1 + r.IntN(3) {
		from := r.IntN(len(b) + 1)
		to := min(len(b), from+r.IntN(12))
		switch r.IntN(5) {
		case 0:
			b = slices.Delete(b, from, to)
		case 1:
			b = slices.Insert(b, from, []byte(words[r.IntN(len(words))])...)
		case 2:
			b = slices.Replace(b, from, to, []byte(words[r.IntN(len(words))])...)
		case 3: // a word in place of a value, or beside a member
			if i := bytes.IndexAny(b[from:], ":,{["); i >= 0 {
				end := from + i + 1
				if next := bytes.IndexAny(b[end:], ",}]"); next >= 0 && r.IntN(2) == 0 {
					b = slices.Delete(b, end, end+next)
				}
				b = slices.Insert(b, end, []byte(words[r.IntN(len(words))])...)
			}
		case 4:
			b = slices.Insert(b, to, b[from:to]...)
		}
	}
	return b
}

// A decoder that reads a stored event differently from the one it was written with changes the past.
func TestDecode_EqualsOracle(t *testing.T) {
	words := words()
	for _, p := range pairs() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(7, uint64(len(p.name))))
			for _, seed := range p.seeds(t) {
				require.True(t, p.agree(t, seed))
				for i := range seed {
					require.False(t, p.agree(t, seed[:i]))
				}
				read := 0
				for range 3000 {
					if p.agree(t, mutate(r, seed, words)) {
						read++
					}
				}
				require.Greater(t, read, 30, "mutations that only break the grammar compare nothing")
			}
		})
	}
}

// Both stop at the same depth: what one build stores another must read.
func TestDecode_DepthEqualsOracle(t *testing.T) {
	p := pair{name: wire.RunTaskCompleted, decode: typed(wire.DecodeRun, wire.RunTaskCompleted), oracle: of(oracleRuns[wire.RunTaskCompleted])}
	for depth, want := range map[int]bool{domain.JSONDepthMax: true, 9998: true, 9999: false, 20_000: false} {
		payload := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		require.Equal(t, want, p.agree(t, []byte(`{"output":{"json":`+payload+`}}`)), depth)
	}
}

// Whoever repairs a log must be told which field of which event it is.
func TestDecode_NamesTheField(t *testing.T) {
	for data, want := range map[string]string{
		`{"task":5}`: "/task: expected a string at byte 8",
		`{"task":"a","input":{"json":{"x":[1,}]},"holes":[]}}`:   "/input/json: unexpected character '}' at byte 36",
		`{"input":{"json":1,"holes":[{"at":""},{"bytes":"7"}]}}`: "/input/holes/1/bytes: expected a number at byte 47",
		`{"iteration":1.5}`:                                  "/iteration: expected a whole number of 64 bits at byte 16",
		`{"deadline":"2026-02-30T00:00:00.000Z"}`:            "/deadline: expected an instant such as 2006-01-02T15:04:05.000Z at byte 38",
		`{"task":"a","TASK":"b"}`:                            "/TASK: unknown field at byte 19",
		`{"task":"a","task":"b"}`:                            "/task: duplicate key at byte 13",
		`{"task":"a"} x`:                                     "unexpected bytes after the value at byte 13",
		`{"` + strings.Repeat("k", 100) + `/":1}`:            "/" + strings.Repeat("k", 64) + "…: unknown field at byte 105",
		`{"task":"\ud83d\ude00","task_id":"` + "\xff" + `"}`: "/task_id: invalid UTF-8 in a string at byte 34",
		`[]`: "expected an object at byte 0",
		``:   "expected an object at byte 0",
	} {
		_, err := wire.DecodeRun(wire.RunTaskStarted, []byte(data))
		require.ErrorIs(t, err, domain.ErrCorrupt, data)
		require.Equal(t, "decode event run.task_started.v1: "+want, err.Error(), data)
	}
}

func FuzzDecode_EqualsOracle(f *testing.F) {
	pairs := pairs()
	for i, p := range pairs {
		for _, seed := range p.seeds(f) {
			f.Add(uint8(i), seed)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		pairs[int(which)%len(pairs)].agree(t, data)
	})
}
