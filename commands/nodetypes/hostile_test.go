package nodetypes_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands/nodetypes"
	"quipu/infra/outbound"
)

const limit = 1 << 20

// If a reply could be kept beyond the limit, one far side could take the process's memory.
func TestAPICall_HugeRepliesAreStoppedInConstantMemory(t *testing.T) {
	block := []byte(strings.Repeat("x", 64<<10))
	for name, handler := range map[string]http.HandlerFunc{
		"never ends": func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		},
		"100 MB declared": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(1600*len(block)))
			for range 1600 {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		},
		"gzip bomb": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
			for range 1600 {
				if _, err := z.Write(block); err != nil {
					return
				}
			}
			_ = z.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := serve(t, handler)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f := failure(t, nodetypes.Deps{ReplyBytesMax: limit}, t.Context(), params(`{"config":{"url":"`+s.URL+`"}}`))
			runtime.ReadMemStats(&after)
			require.Equal(t, "REPLY_TOO_LARGE", f.Code)
			require.False(t, f.Retryable)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(24<<20))
		})
	}
	s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(strings.Repeat("x", limit))) })
	reply, err := api(t, nodetypes.Deps{ReplyBytesMax: limit}, params(`{"config":{"url":"`+s.URL+`"}}`))
	require.NoError(t, err, "a reply at the limit")
	require.Len(t, reply.Output, limit+2)
}

func TestAPICall_SlowRepliesTimeOut(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":          "",
		"half a header":    "HTTP/1.1 200 OK\r\nContent-Type: text/pl",
		"half a body":      "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
		"half a chunk":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
		"an error's start": "HTTP/1.1 503 Busy\r\nContent-Le",
	} {
		url := serveRaw(t, text, true)
		f := failure(t, nodetypes.Deps{}, t.Context(), params(`{"config":{"url":"`+url+`","timeout":"80ms"}}`))
		require.Equal(t, "TIMEOUT", f.Code, name)
		require.True(t, f.Retryable)
		ctx, cancel := context.WithTimeout(t.Context(), 80*time.Millisecond)
		f = failure(t, nodetypes.Deps{}, ctx, params(`{"config":{"url":"`+url+`"}}`))
		cancel()
		require.Equal(t, "TIMEOUT", f.Code, name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := failure(t, nodetypes.Deps{}, ctx, params(`{"config":{"url":"`+serveRaw(t, "", true)+`"}}`))
	require.Equal(t, "CANCELED", f.Code)
}

func TestAPICall_BrokenConnections(t *testing.T) {
	for name, text := range map[string]string{
		"closed at once":  "",
		"no HTTP":         "hello\r\n\r\n",
		"too short":       "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
		"broken gzip":     "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
		"cut chunk":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
		"two lengths":     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"endless header":  "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
		"negative length": "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nab",
	} {
		t.Run(name, func(t *testing.T) {
			f := failure(t, nodetypes.Deps{}, t.Context(), params(`{"config":{"url":"`+serveRaw(t, text, false)+`"}}`))
			require.Equal(t, "CONNECTION_LOST", f.Code)
			require.True(t, f.Retryable)
		})
	}
	reply, err := api(t, nodetypes.Deps{}, params(`{"config":{"url":"`+serveRaw(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabcdef", false)+`"}}`))
	require.NoError(t, err)
	require.Equal(t, `"ab"`, string(reply.Output))

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	f := failure(t, nodetypes.Deps{}, t.Context(), params(`{"config":{"url":"http://`+l.Addr().String()+`"}}`))
	require.Equal(t, "CONNECT_FAILED", f.Code)
	require.True(t, f.Retryable)
	f = failure(t, nodetypes.Deps{}, t.Context(), params(`{"config":{"url":"https`+strings.TrimPrefix(serveRaw(t, "HTTP/1.1 400 Bad\r\n\r\n", false), "http")+`"}}`))
	require.Equal(t, "TLS_FAILED", f.Code)
	require.False(t, f.Retryable)
	unknown := httptest.NewUnstartedServer(nil)
	unknown.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake
	unknown.StartTLS()
	t.Cleanup(unknown.Close)
	f = failure(t, nodetypes.Deps{}, t.Context(), params(`{"config":{"url":"`+unknown.URL+`"}}`))
	require.Equal(t, "TLS_FAILED", f.Code)
}

func TestAPICall_BlockedDestination(t *testing.T) {
	strict, err := outbound.NewClient(outbound.Options{})
	require.NoError(t, err)
	s, requests := serve(t, nil)
	f := failure(t, nodetypes.Deps{HTTP: strict}, t.Context(), params(`{"config":{"url":"`+s.URL+`/x?key=secret"}}`))
	require.Equal(t, "BLOCKED_DESTINATION", f.Code)
	require.False(t, f.Retryable)
	require.Equal(t, "GET "+s.URL+"/x: the destination is not allowed", f.Message)
	require.Empty(t, *requests)
}

func TestAPICall_StatusesOutside2xxFail(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		status    int
		after     string
		retryable bool
		wait      time.Duration
	}{
		"not found":          {404, "5", false, 0},
		"not modified":       {304, "", false, 0},
		"redirect nowhere":   {302, "", false, 0},
		"request timeout":    {408, "", true, 0},
		"too many":           {429, "7", true, 7 * time.Second},
		"internal":           {500, "", true, 0},
		"busy, date":         {503, "Fri, 02 Jan 2026 03:04:35 GMT", true, 30 * time.Second},
		"busy, date past":    {503, "Fri, 02 Jan 2026 03:04:04 GMT", true, 0},
		"busy, far too long": {503, "99999999999999999999", true, nodetypes.RetryAfterMax},
		"busy, nonsense":     {503, "-5", true, 0},
		"beyond":             {599, "", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", c.after)
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte("busy \xff" + strings.Repeat("x", 1<<20)))
			})
			call := params(`{"config":{"url":"` + s.URL + `/a/b?api_key=hidden","method":"POST","headers":{"Authorization":"Bearer hidden"},"body":"hidden"}}`)
			f := failure(t, nodetypes.Deps{Now: func() time.Time { return now }}, t.Context(), call)
			require.Equal(t, "HTTP_"+strconv.Itoa(c.status), f.Code)
			require.Equal(t, c.retryable, f.Retryable)
			require.Equal(t, c.wait, f.RetryAfter)
			require.Equal(t, "POST "+s.URL+"/a/b: the answer's status is "+strconv.Itoa(c.status), f.Message)
			require.True(t, json.Valid(f.Details))
			require.Less(t, len(f.Details), nodetypes.ExcerptBytesMax+200)
			require.NotContains(t, string(f.Details)+f.Message, "hidden")
			require.Equal(t, c.status, f.CallDetails["status"])
			if c.status != http.StatusNotModified { // has no body
				require.Contains(t, f.Said, "busy \ufffdxxx")
			}
		})
	}
}

// What the far side says is what people need first: of JSON its sentence, of anything else a line.
func TestAPICall_ErrorRepliesSpeak(t *testing.T) {
	for body, want := range map[string]string{
		`{"detail":"no such customer"}`:                               "no such customer",
		`{"status":"error","message":" the disk\nis\u0000full "}`:     "the disk is full",
		`{"error":{"message":"invalid model","type":"x"},"detail":5}`: "invalid model",
		`{"error":"unauthorized"}`:                                    "unauthorized",
		`{"detail":[{"loc":["body"],"msg":"field required"}]}`:        "field required",
		`{"message":"","code":7}`:                                     `{"message":"","code":7}`,
		`["a"]`:                                                       `["a"]`,
		"\n upstream \x1b[1mfailed\r\nmore":                           "upstream  [1mfailed",
		"":                                                            "",
		"{\"message\": ":                                              `{"message":`,
	} {
		s, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			_, _ = w.Write([]byte(body))
		})
		f := failure(t, nodetypes.Deps{}, t.Context(), params(`{"config":{"url":"`+s.URL+`"}}`))
		require.Equal(t, want, f.Said, body)
		require.NotContains(t, f.Message, "customer")
	}
}
