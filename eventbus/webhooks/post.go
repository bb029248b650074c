package webhooks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"quipu/domain"
	"quipu/domain/wire"
)

// The outcomes of one request.
const (
	outcomeTaken  = "taken"
	outcomeFailed = "failed"
	outcomeGone   = "gone" // 410: the receiver wants nothing any more
)

// answer is what became of one request.
type answer struct {
	outcome string
	reason  string        // of a failure, without anything secret
	asked   time.Duration // how long the receiver asked to be left alone
}

func failed(reason string) answer { return answer{outcome: outcomeFailed, reason: reason} }

// poster makes the requests to one target. Safe for concurrent use.
type poster struct {
	target  *Target
	deps    *Deps
	client  *http.Client
	timeout time.Duration
}

func newPoster(t *Target, d *Deps, timeout time.Duration) *poster {
	client := *d.Client
	// A redirect would turn the POST into a GET, or hand the event to whom nobody named.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &poster{target: t, deps: d, client: &client, timeout: timeout}
}

// attempt posts one event once. It is a Watermill message that passes Watermill's middleware by direct
// call, as the effects of tasks are.
func (p *poster) attempt(ctx context.Context, e *domain.Recorded) answer {
	began := p.deps.Clock.Now()
	m := message.NewMessage(e.ID.String(), nil)
	m.SetContext(ctx)
	var a answer
	_, err := middleware.Recoverer(middleware.Timeout(p.timeout)(func(m *message.Message) ([]*message.Message, error) {
		a = p.post(m.Context(), e)
		return nil, nil
	}))(m)
	if err != nil {
		// What was panicked with may hold a payload.
		a = failed("the event could not be sent: a fault of this server's, see its log")
		p.deps.Logger.Error("webhook panicked", "webhook", p.target.Name, "event", e.ID.String())
	}
	if f := p.deps.Hooks.Attempted; f != nil {
		f(p.target.Name, a.outcome, max(p.deps.Clock.Now().Sub(began), 0))
	}
	return a
}

func (p *poster) post(ctx context.Context, e *domain.Recorded) answer {
	body, err := p.deps.Render(ctx, e)
	if err != nil {
		return failed("the event cannot be shown now: " + domain.KindOf(err).String())
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.target.URL.String(), bytes.NewReader(body))
	if err != nil {
		return failed("the URL cannot be asked")
	}
	h := request.Header
	h.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	h.Set("User-Agent", "quipu-webhooks")
	if m, err := wire.DecodeMetadata(e.Metadata); err == nil && m.Traceparent != "" {
		h.Set("traceparent", m.Traceparent)
	}
	sign(h, p.target.Keys, e.ID.String(), p.deps.Clock.Now(), body)
	response, err := p.client.Do(request)
	if err != nil {
		return failed(reasonOf(err))
	}
	// Read so that the connection can be used again; what it says is nobody's business.
	_, _ = io.CopyN(io.Discard, response.Body, answerBytesMax)
	_ = response.Body.Close()
	return judge(response)
}

func judge(r *http.Response) answer {
	status := "answered " + strconv.Itoa(r.StatusCode)
	switch {
	case r.StatusCode >= 200 && r.StatusCode < 300:
		return answer{outcome: outcomeTaken}
	case r.StatusCode == http.StatusGone:
		return answer{outcome: outcomeGone, reason: status}
	case r.StatusCode >= 300 && r.StatusCode < 400:
		return failed(status + ": redirects are not followed; name the receiver's own address")
	}
	a := failed(status)
	if seconds, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil && seconds > 0 && seconds < 1<<20 {
		a.asked = time.Duration(seconds) * time.Second
	}
	return a
}

// reasonOf words a failure without the URL, which may hold a token.
func reasonOf(err error) string {
	var blocked interface{ Blocked() bool }
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &blocked) && blocked.Blocked():
		return "the address is not allowed; see outbound-allow"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	}
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	return "not reached: " + err.Error()
}
