package nodetypes_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands/node"
	"quipu/commands/nodetypes"
)

func TestTimer_Due(t *testing.T) {
	typ, _ := registry(t, nodetypes.Deps{}).Get("timer")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for config, want := range map[string]time.Duration{
		`{"duration_seconds":0}`:                  0,
		`{"duration_seconds":1.5}`:                1500 * time.Millisecond,
		`{"duration_seconds":"90"}`:               90 * time.Second, // as a template gives it
		`{"duration_seconds":315360000}`:          87600 * time.Hour,
		`{"duration":"1h30m"}`:                    90 * time.Minute,
		`{"until":"2026-02-01T03:04:05Z"}`:        720 * time.Hour,
		`{"until":"2026-01-02T04:04:05.5+01:00"}`: 500 * time.Millisecond,
		`{"until":"2020-01-01T00:00:00Z"}`:        time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Sub(at),
	} {
		due, err := typ.Due(params(`{"config":`+config+`}`), at)
		require.NoError(t, err, config)
		require.Equal(t, want, due.Sub(at), config)
		require.Empty(t, check(t, "timer", `{"config":`+config+`}`), config)
	}
	for config, pointer := range map[string]string{
		`{}`:                                  "/config/duration_seconds",
		`{"duration_seconds":-1}`:             "/config/duration_seconds",
		`{"duration_seconds":1e400}`:          "/config/duration_seconds",
		`{"duration_seconds":"NaN"}`:          "/config/duration_seconds",
		`{"duration_seconds":315360001}`:      "/config/duration_seconds",
		`{"duration_seconds":[1]}`:            "/config/duration_seconds",
		`{"duration_seconds":1,"until":"x"}`:  "/config/until",
		`{"duration":"1 h"}`:                  "/config/duration",
		`{"duration":"-1s"}`:                  "/config/duration",
		`{"duration":"99999h"}`:               "/config/duration",
		`{"until":"tomorrow"}`:                "/config/until",
		`{"until":"2026-13-01T03:04:05Z"}`:    "/config/until",
		`{"duration":5,"name":"of any kind"}`: "/config/duration",
	} {
		faults := check(t, "timer", `{"config":`+config+`}`)
		require.Len(t, faults, 1, config)
		require.Equal(t, pointer, faults[0].Pointer, config)
		_, err := typ.Due(params(`{"config":`+config+`}`), at)
		require.ErrorContains(t, err, pointer, config)
	}
	// Not known at the check, and wrong when it starts.
	require.Empty(t, check(t, "timer", `{"config":{"duration_seconds":"{{ input.wait }}"}}`))
	for _, config := range []string{`{"duration_seconds":null}`, `{"duration":null}`, `{"until":null}`, `{"until":"2046-01-01T00:00:00Z"}`} {
		require.Empty(t, check(t, "timer", `{"config":`+config+`}`), config)
		_, err := typ.Due(params(`{"config":`+config+`}`), at)
		require.ErrorContains(t, err, "INVALID_CONFIG", config)
	}
}

func TestTrigger_GivesTheInput(t *testing.T) {
	r := registry(t, nodetypes.Deps{})
	for _, c := range []struct{ config, input, want string }{
		{`{}`, `{"a":1e400}`, `{"a":1e400}`},
		{`{}`, `{}`, `{}`},
		{`{"input_json":{"b":1},"input_text":"hi"}`, `{"a":1}`, `{"a":1}`},
		{`{"input_json":{"b":1},"input_text":"hi"}`, `{}`, `{"b":1,"input_text":"hi"}`},
		{`{"input_json":"{\"b\": 1}"}`, ` { } `, `{"b":1}`},
		{`{"input_json":"","input_text":"hi"}`, `null`, `{"input_text":"hi"}`},
		{`{"input_json":{"input_text":"kept"},"input_text":"hi"}`, `{}`, `{"input_text":"kept"}`},
		{`{"input_json":null,"input_text":null}`, `{}`, `{}`},
	} {
		call := params(`{"config":` + c.config + `}`)
		call.Scope = &node.Scope{Input: json.RawMessage(c.input)}
		reply, err := run(t, r, "trigger", call)
		require.NoError(t, err)
		require.Equal(t, c.want, string(reply.Output), c.config)
		require.Empty(t, check(t, "trigger", `{"config":`+c.config+`}`))
	}
	for _, config := range []string{`{"input_json":"[1]"}`, `{"input_json":"{"}`, `{"input_json":7}`, `{"type":"cron"}`, `{"input_text":7}`} {
		require.Len(t, check(t, "trigger", `{"config":`+config+`}`), 1, config)
	}
}

func TestEnd_GivesWhatCameBefore(t *testing.T) {
	r := registry(t, nodetypes.Deps{})
	a, b := node.Upstream{Task: "a", Output: json.RawMessage(`1`)}, node.Upstream{Task: "b", Output: json.RawMessage(`"x"`)}
	gone := node.Upstream{Task: "gone", Output: json.RawMessage(`null`), Skipped: true}
	for want, upstream := range map[string][]node.Upstream{
		`{}`: {gone}, `1`: {gone, a}, `{"b":"x","a":1}`: {b, a, b},
	} {
		call := params(`{"config":{"capture_output":true}}`)
		call.Upstream = upstream
		reply, err := run(t, r, "end", call)
		require.NoError(t, err)
		require.Equal(t, want, string(reply.Output))
	}
}

func TestTransform_ComputesValuesAndFields(t *testing.T) {
	r := registry(t, nodetypes.Deps{})
	call := func(config string) node.Call {
		c := params(`{"config":` + config + `}`)
		c.Scope = &node.Scope{Output: json.RawMessage(`{"rows":[{"id":1},{"id":2}]}`), Nodes: map[string]json.RawMessage{"n": json.RawMessage(`7`)}, Input: json.RawMessage(`{"q":"?"}`)}
		return c
	}
	for config, want := range map[string]string{
		`{"expression":"map(rows, #.id)"}`:                       `[1,2]`,
		`{"expression":"nodes.n + len(output.rows)"}`:            `9`,
		`{"fields":{"z":"input.q","a":"rows[0]","m":"missing"}}`: `{"z":"?","a":{"id":1},"m":null}`,
		`{"fields":{}}`: `{}`,
		`{"expression":"{\"all\": rows, \"first\": rows[0].id}"}`:      `{"all":[{"id":1},{"id":2}],"first":1}`,
		`{"fields":{"same":"let x = rows[1]; x.id","again":"x == 1"}}`: `{"same":2,"again":false}`,
	} {
		reply, err := run(t, r, "transform", call(config))
		require.NoError(t, err, config)
		require.Equal(t, want, string(reply.Output), config)
		require.Empty(t, check(t, "transform", `{"config":`+config+`}`), config)
	}
	for config, pointer := range map[string]string{
		`{}`:                                 "/config/expression",
		`{"expression":"a","fields":{}}`:     "/config/fields",
		`{"expression":"now()"}`:             "/config/expression",
		`{"expression":7}`:                   "/config/expression",
		`{"fields":{"a":"1","b/c":"x ^ 2"}}`: "/config/fields/b~1c",
		`{"fields":{"a":1}}`:                 "/config/fields/a",
		`{"fields":[]}`:                      "/config/fields",
	} {
		faults := check(t, "transform", `{"config":`+config+`}`)
		require.Len(t, faults, 1, config)
		require.Equal(t, pointer, faults[0].Pointer, config)
		_, err := run(t, r, "transform", call(config))
		require.ErrorContains(t, err, pointer, config)
	}
	_, err := run(t, r, "transform", call(`{"fields":{"ok":"1","bad":"rows + 1"}}`))
	require.ErrorContains(t, err, "/config/fields/bad")
	require.ErrorContains(t, err, "EXPRESSION_FAILED")
}
