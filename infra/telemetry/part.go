package telemetry

import (
	"context"
	"strings"
	"sync/atomic"
)

// PartErrorBytesMax bounds what a part's error may say in a report.
const PartErrorBytesMax = 1024

// Part is one part of the process that tells by itself how it is: a relay, the membership, a bus.
// While its last word is an error the process is degraded and serves what it can. Where an error
// means that requests should go elsewhere, use Health.AddReady instead. Safe for concurrent use;
// Set costs about as much as an atomic store.
type Part struct {
	err atomic.Pointer[string] // nil while all is well
}

// Part returns the part of that name, made at the first call and well until told otherwise. Its
// name stands in /health/ready and in the label of quipu_health_ok: take a constant of one word
// ("members", "relay"). It panics on the name of a ready check.
func (h *Health) Part(name string) *Part {
	h.mu.Lock()
	p, ok := h.parts[name]
	if !ok {
		p = &Part{}
		if h.parts == nil {
			h.parts = map[string]*Part{}
		}
		h.parts[name] = p
	}
	h.mu.Unlock()
	if !ok {
		h.AddAdvice(name, 0, p.check)
	}
	return p
}

// Set says how the part is: nil for well, else what is wrong, in words for whoever operates the
// server. The text is copied at once and clipped at PartErrorBytesMax; it must hold no secret.
func (p *Part) Set(err error) {
	if err == nil {
		p.err.Store(nil)
		return
	}
	text := err.Error()
	if len(text) > PartErrorBytesMax {
		text = strings.ToValidUTF8(text[:PartErrorBytesMax], "") + "…"
	}
	p.err.Store(&text)
}

// Err is what Set was last told, nil for well.
func (p *Part) Err() error {
	if text := p.err.Load(); text != nil {
		return partError(*text)
	}
	return nil
}

func (p *Part) check(context.Context) error { return p.Err() }

// partError is a text that was an error once.
type partError string

func (e partError) Error() string { return string(e) }
