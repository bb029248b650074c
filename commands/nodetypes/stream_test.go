package nodetypes_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands/node"
	"quipu/commands/nodetypes"
)

// piece is one event of a streamed answer.
func piece(text, finish string) string {
	f := "null"
	if finish != "" {
		f = quote(finish)
	}
	return `data: {"model":"m-2026","choices":[{"index":0,"delta":{"content":` + quote(text) + `},"finish_reason":` + f + "}]}\n\n"
}

const (
	usagePiece = `data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}` + "\n\n"
	donePiece  = "data: [DONE]\n\n"
)

// spoken asks an agent whose model answers with parts, each flushed, and returns what was told.
func spoken(t *testing.T, d nodetypes.Deps, parts ...string) (node.Reply, []string, error) {
	t.Helper()
	s, requests := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, p := range parts {
			if p == "CUT" {
				panic(http.ErrAbortHandler)
			}
			_, _ = fmt.Fprint(w, p)
			w.(http.Flusher).Flush()
		}
	})
	d.HTTP, d.Model = guarded(t), nodetypes.Model{BaseURL: s.URL, Key: "process-key", Name: "m"}
	var told []string
	call := params(`{"message":"Hi"}`)
	call.Delta = func(text string) { told = append(told, text) }
	reply, err := run(t, registry(t, d), "agent", call)
	require.Contains(t, (*requests)[0].body, `"stream":true`)
	require.Contains(t, (*requests)[0].body, `"include_usage":true`)
	return reply, told, err
}

func TestAgent_StreamsAnswers(t *testing.T) {
	for name, parts := range map[string][]string{
		"as it should be":          {piece("Grü", ""), piece("ße", ""), piece("", "stop"), usagePiece, donePiece},
		"comments and blank lines": {": waiting\n\n", "\n\n: waiting\n\n", piece("Grü", ""), ": waiting\n\n", piece("ße", "stop"), usagePiece, donePiece},
		"cut in odd places":        {piece("Grü", "")[:31], piece("Grü", "")[31:], piece("ße", "stop") + usagePiece, donePiece[:5], donePiece[5:]},
		"without the last mark":    {piece("Grü", ""), piece("ße", "stop"), usagePiece},
		"without a finish reason":  {piece("Grü", ""), piece("ße", ""), usagePiece, donePiece},
		"carriage returns":         {strings.ReplaceAll(piece("Grü", "")+piece("ße", "stop")+usagePiece+donePiece, "\n", "\r\n")},
	} {
		t.Run(name, func(t *testing.T) {
			reply, told, err := spoken(t, nodetypes.Deps{}, parts...)
			require.NoError(t, err)
			require.Equal(t, `"Grüße"`, string(reply.Output))
			require.Equal(t, []string{"Grü", "ße"}, told)
			require.Equal(t, "m-2026", reply.Details["model"])
			require.Equal(t, []any{5, 2, 7}, []any{reply.Details["prompt_tokens"], reply.Details["completion_tokens"], reply.Details["total_tokens"]})
			require.Equal(t, true, reply.Details["streamed"])
			require.Contains(t, reply.Details, "latency_ms")
		})
	}
	reply, told, err := spoken(t, nodetypes.Deps{}, "\n "+completion)
	require.NoError(t, err, "a server that does not stream is understood")
	require.Equal(t, []string{"Grüße"}, told)
	require.Equal(t, `"Grüße"`, string(reply.Output))
}

func TestAgent_BrokenStreams(t *testing.T) {
	for name, c := range map[string]struct {
		parts     []string
		code      string
		retryable bool
		told      int
	}{
		"cut":                  {[]string{piece("half", ""), "CUT"}, "CONNECTION_LOST", true, 1},
		"cut before any":       {[]string{": hello\n\n", "CUT"}, "CONNECTION_LOST", true, 0},
		"ended too early":      {[]string{piece("half", "")}, "CONNECTION_LOST", true, 1},
		"an error in between":  {[]string{piece("half", ""), "data: {\"error\":{\"message\":\"the model\\nfell over\"}}\n\n", donePiece}, "MODEL_FAILED", true, 1},
		"an error, named late": {[]string{piece("half", ""), "event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"overloaded\"}}\n\n", donePiece}, "MODEL_FAILED", true, 1},
		"garbage":              {[]string{"data: {\"choices\": 7}\n\n", donePiece}, "BAD_REPLY", false, 0},
		"no JSON":              {[]string{"data: <html>\n\n", donePiece}, "BAD_REPLY", false, 0},
		"nothing":              {[]string{donePiece}, "BAD_REPLY", false, 0},
		"HTML":                 {[]string{"<html><body>Welcome</body></html>"}, "CONNECTION_LOST", true, 0},
		"without end":          {[]string{strings.Repeat(piece("xxxx", ""), 200)}, "REPLY_TOO_LARGE", false, -1},
	} {
		t.Run(name, func(t *testing.T) {
			_, told, err := spoken(t, nodetypes.Deps{ReplyBytesMax: 4096}, c.parts...)
			var f *node.Failure
			require.ErrorAs(t, err, &f)
			require.Equal(t, c.code, f.Code, f.Error())
			require.Equal(t, c.retryable, f.Retryable)
			require.Equal(t, "openai", f.CallDetails["provider"])
			require.NotContains(t, f.Message+f.Said+string(f.Details), "process-key")
			require.NotContains(t, f.Said, "\n")
			if c.told >= 0 {
				require.Len(t, told, c.told)
			}
		})
	}
}

// A model that says no more is given up at the attempt's limit, and its connection with it.
func TestAgent_SilentStream(t *testing.T) {
	released := make(chan struct{})
	s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, piece("slow", ""))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(released)
	})
	typ, _ := registry(t, nodetypes.Deps{HTTP: guarded(t), Model: nodetypes.Model{BaseURL: s.URL, Name: "m"}}).Get("agent")
	ctx, cancel := context.WithCancel(t.Context())
	call := params(`{"config":{"timeout":"150ms"},"message":"Hi"}`)
	call.Delta = func(string) {}
	began := time.Now()
	_, err := typ.Run(ctx, call)
	require.ErrorContains(t, err, "TIMEOUT")
	require.Less(t, time.Since(began), 10*time.Second)
	<-released
	cancel()
}

func TestAgent_StreamIsASetting(t *testing.T) {
	s, requests := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(completion)) })
	call := params(`{"config":{"stream":false,"expected_output_format":"a list"},"message":"Hi"}`)
	call.Delta = func(string) { t.Error("nothing comes in pieces") }
	r := registry(t, nodetypes.Deps{HTTP: guarded(t), Model: nodetypes.Model{BaseURL: s.URL, Name: "m"}})
	_, err := run(t, r, "agent", call)
	require.NoError(t, err)
	require.Contains(t, (*requests)[0].body, `"stream":false`)
	require.Contains(t, (*requests)[0].body, `Expected output format: a list`)
	reply, err := run(t, r, "agent", params(`{"config":{"provider":"deterministic","agent_name":"N"},"message":"Hi"}`))
	require.NoError(t, err)
	require.Contains(t, string(reply.Output), "N (deterministic ")
	require.Len(t, *requests, 1)
}
