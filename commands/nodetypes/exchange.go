package nodetypes

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"quipu/commands/node"
)

// reply is a 2xx reply, read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// exchange sends req and reads the reply within ReplyBytesMax. The details describe the call
// whatever came of it.
func (d Deps) exchange(req *http.Request) (reply, map[string]any, *node.Failure) {
	url := shown(req.URL)
	what := req.Method + " " + url
	details := map[string]any{"method": req.Method, "url": url}
	started := d.Now()
	r, f := d.send(req, what, details)
	details["latency_ms"] = d.Now().Sub(started).Milliseconds()
	if f != nil {
		f.CallDetails = details
	}
	return r, details, f
}

// begin sends req and hands back a 2xx answer whose body is not read yet; the caller closes it.
func (d Deps) begin(req *http.Request, what string, details map[string]any) (*http.Response, *node.Failure) {
	resp, err := d.HTTP.Do(req)
	if err != nil {
		return nil, sendFailure(req.Context(), what, err)
	}
	details["status"] = resp.StatusCode
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer func() { _ = resp.Body.Close() }()
		excerpt, _ := io.ReadAll(io.LimitReader(resp.Body, ExcerptBytesMax+1)) // what came is enough
		after := retryAfter(resp.Header.Get("Retry-After"), d.Now())
		return nil, statusFailure(what, resp.StatusCode, after, excerpt)
	}
	return resp, nil
}

func (d Deps) tooLarge(what string) *node.Failure {
	return node.Failf("ReplyError", codeReplyTooLarge, false, "%s: the answer has more than %d bytes", what, d.ReplyBytesMax)
}

func (d Deps) send(req *http.Request, what string, details map[string]any) (reply, *node.Failure) {
	resp, failure := d.begin(req, what, details)
	if failure != nil {
		return reply{}, failure
	}
	// A body that is closed before its end costs the connection, which is what stops a reply
	// without end.
	defer func() { _ = resp.Body.Close() }()
	if resp.ContentLength > d.ReplyBytesMax && req.Method != http.MethodHead {
		return reply{}, d.tooLarge(what)
	}
	// The transport has undone gzip, so that the limit holds for what a small reply unpacks to.
	body, err := readAll(io.LimitReader(resp.Body, d.ReplyBytesMax+1), resp.ContentLength)
	if int64(len(body)) > d.ReplyBytesMax {
		return reply{}, d.tooLarge(what)
	}
	if err != nil {
		return reply{}, sendFailure(req.Context(), what, err)
	}
	details["reply_bytes"] = len(body)
	return reply{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// promisedBytesMax is up to how much room is made for a length that an answer only claims to have.
const promisedBytesMax = 16 << 10

// readAll is io.ReadAll, which takes 512 bytes for the least of bodies. What is read here is kept as a
// task's output while its run is in memory, so it gets the room it needs if the answer tells its length.
func readAll(r io.Reader, length int64) ([]byte, error) {
	if length < 0 || length > promisedBytesMax {
		return io.ReadAll(r)
	}
	b := make([]byte, 0, length+1) // one more, to see the end
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case err == io.EOF: //nolint:errorlint // as io.ReadAll: a wrapped one is a failure
			return b, nil
		case err != nil:
			return b, err
		case len(b) == cap(b): // longer than promised
			b = append(b, 0)[:len(b)]
		}
	}
}

// retryAfter reads the header's seconds or HTTP date (RFC 9110, section 10.2.3); 0 if it says
// nothing usable.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if n, err := strconv.ParseUint(header, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(n, uint64(RetryAfterMax/time.Second))) * time.Second
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), RetryAfterMax)
}

// mark sets the headers that go with every outbound call (contract D8). A definition's own
// Idempotency-Key or traceparent stays.
func mark(h http.Header, call node.Call, perAttempt bool) {
	if h.Get("Idempotency-Key") == "" && call.Key != "" {
		key := call.Key
		if perAttempt {
			key += "/" + strconv.Itoa(call.Attempt)
		}
		h.Set("Idempotency-Key", key)
	}
	h.Set("Quipu-Attempt", strconv.Itoa(call.Attempt))
	if h.Get("Traceparent") == "" && call.Traceparent != "" {
		h.Set("Traceparent", call.Traceparent)
	}
	if h.Get("User-Agent") == "" {
		h.Set("User-Agent", "quipu")
	}
}

// withTimeout bounds an attempt: by config.timeout if given, else by the type's default unless
// the caller has set a deadline.
func withTimeout(ctx context.Context, configured, fallback time.Duration) (context.Context, context.CancelFunc) {
	if configured > 0 {
		return context.WithTimeout(ctx, configured)
	}
	if _, bounded := ctx.Deadline(); bounded {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, fallback)
}
