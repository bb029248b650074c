package commands

import (
	"context"
	"errors"
	"strings"
	"sync"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// Revealer opens payloads for readers who may see secrets: the switch that turns masking off.
// Safe for concurrent use. It keeps the sessions of a few runs.
type Revealer struct {
	Log     Log
	Secrets Secrets

	mu       sync.Mutex
	sessions map[string]*Session
}

// revealedRunsMax is how many runs' sessions are kept; beyond it all are dropped.
const revealedRunsMax = 256

// Reveal gives v with every secret and blob in place. Errors: ErrCorrupt, and those of the log, the
// vault and the blobs.
func (r *Revealer) Reveal(ctx context.Context, runID string, v domain.Value) ([]byte, error) {
	r.mu.Lock()
	session := r.sessions[runID]
	r.mu.Unlock()
	if session != nil {
		b, err := session.Open(ctx, v)
		if !errors.Is(err, domain.ErrCorrupt) {
			return b, err
		}
		// The run may have got secrets since.
	}
	session, err := r.session(ctx, runID)
	if err != nil {
		return nil, err
	}
	return session.Open(ctx, v)
}

func (r *Revealer) session(ctx context.Context, runID string) (*Session, error) {
	stream := RunStream(runID)
	known, err := recordedSecrets(ctx, r.Log, stream)
	if err != nil {
		return nil, err
	}
	session, err := r.Secrets.Session(ctx, stream, known)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions == nil || len(r.sessions) >= revealedRunsMax {
		r.sessions = make(map[string]*Session)
	}
	r.sessions[strings.Clone(runID)] = session
	return session, nil
}

// recordedSecrets lists the secrets in a run's events.
func recordedSecrets(ctx context.Context, log Log, stream domain.StreamID) ([]run.Secret, error) {
	var known []run.Secret
	for next := domain.Revision(0); ; {
		page, err := log.ReadStream(ctx, stream, next, readPage)
		if err != nil || len(page) == 0 {
			return known, err
		}
		for i := range page {
			e, err := wire.DecodeRun(page[i].Type, page[i].Data)
			if err != nil {
				return nil, err
			}
			known = append(known, secretsIn(e)...)
		}
		next = page[len(page)-1].Revision + 1
	}
}

// secretsIn lists the secrets that entered with an event.
func secretsIn(e run.Event) []run.Secret {
	switch e := e.(type) {
	case run.Started:
		return e.Secrets
	case run.TaskCompleted:
		return e.Secrets
	case run.TaskRetryScheduled:
		return e.Secrets
	case run.TaskFailed:
		return e.Secrets
	case run.SignalReceived:
		return e.Secrets
	}
	return nil
}
