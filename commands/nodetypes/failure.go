package nodetypes

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"quipu/commands/node"
	"quipu/domain/rawjson"
)

// The codes of failures, beside HTTP_<status>. They are stored: none may change its meaning.
const (
	codeInvalidConfig   = "INVALID_CONFIG"      // refused before sending; details.pointer says where
	codeMapping         = "MAPPING_FAILED"      // a mapped path is not in the output it points into
	codeBlocked         = "BLOCKED_DESTINATION" // the address is not allowed
	codeConnect         = "CONNECT_FAILED"      // no connection; nothing was sent
	codeLost            = "CONNECTION_LOST"     // the connection broke; the call may have been done
	codeTLS             = "TLS_FAILED"          // the certificate or handshake was refused
	codeTimeout         = "TIMEOUT"             // no complete answer in time; it may have been done
	codeCanceled        = "CANCELED"            // the attempt was given up from our side
	codeReplyTooLarge   = "REPLY_TOO_LARGE"     // done, but the reply is over the limit
	codeBadReply        = "BAD_REPLY"           // done, but the reply is not what the type promises
	codeModelFailed     = "MODEL_FAILED"        // the model's server broke off an answer with an error
	codeEvalFailed      = "EVAL_FAILED"         // an eval did not pass
	codeA2A             = "A2A_FAILED"          // the other agent refused or failed the task
	codeExpressionError = "EXPRESSION_FAILED"   // a condition has no value over this data
)

// shown renders a URL for people: scheme, host and path, never user info, query or fragment.
func shown(u *url.URL) string {
	if u == nil {
		return ""
	}
	return clip((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String(), 300)
}

// clip shortens s to at most most bytes and makes it valid UTF-8.
func clip(s string, most int) string {
	if len(s) > most {
		for most > 0 && !utf8.RuneStart(s[most]) {
			most--
		}
		s = s[:most] + "…"
	}
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

// sendFailure classifies what sending a request or reading its reply gave.
func sendFailure(ctx context.Context, what string, err error) *node.Failure {
	var blocked interface{ Blocked() bool }
	var timeout net.Error
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var op *net.OpError
	switch {
	case errors.As(err, &blocked) && blocked.Blocked():
		return node.Failf("BlockedError", codeBlocked, false, "%s: the destination is not allowed", what)
	case errors.Is(ctx.Err(), context.Canceled):
		return node.Failf("CanceledError", codeCanceled, true, "%s: the attempt was cancelled", what)
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return node.Failf("TimeoutError", codeTimeout, true, "%s: no complete answer within the time limit", what)
	case errors.As(err, &certificate), errors.As(err, &record), errors.As(err, &alert), errors.Is(err, http.ErrSchemeMismatch):
		return node.Failf("ConnectError", codeTLS, false, "%s: the TLS handshake failed", what)
	case errors.As(err, &op) && op.Op == "dial":
		return node.Failf("ConnectError", codeConnect, true, "%s: no connection", what)
	}
	return node.Failf("ConnectError", codeLost, true, "%s: the connection was lost before the whole answer had arrived", what)
}

// statusFailure makes the failure of a reply outside 2xx.
func statusFailure(what string, status int, retryAfter time.Duration, excerpt []byte) *node.Failure {
	retryable := status == 408 || status == 429 || status >= 500 && status <= 599
	f := node.Failf("HTTPError", "HTTP_"+strconv.Itoa(status), retryable, "%s: the answer's status is %d", what, status)
	if retryable {
		f.RetryAfter = retryAfter
	}
	details := append([]byte(nil), fmt.Sprintf(`{"status":%d`, status)...)
	if len(excerpt) > 0 {
		f.Said = said(excerpt)
		details = append(details, `,"body":`...)
		details = rawjson.AppendString(details, clip(string(excerpt), ExcerptBytesMax))
	}
	f.Details = append(details, '}')
	return f
}

// configFailure turns the first fault found at run time into a failure.
func configFailure(f node.Fault) *node.Failure {
	out := node.Failf("ConfigError", codeInvalidConfig, false, "%s: %s", f.Pointer, f.Message)
	out.Details = pointerDetails(f.Pointer)
	return out
}

func pointerDetails(pointer string) json.RawMessage {
	return append(rawjson.AppendString([]byte(`{"pointer":`), pointer), '}')
}
