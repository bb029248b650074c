package commands

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"quipu/domain"
	"quipu/domain/endpoint"
	"quipu/domain/wire"
)

// endpointKeyPrefix starts every key of an endpoint, so that people and scanners know one when they
// see it. What follows is 24 random bytes in base64url: an HTTP token, because browsers send the key
// as a subprotocol (contract S1-6).
const (
	endpointKeyPrefix = "qk_"
	endpointKeyRandom = 24
	endpointIDRandom  = 4
)

// EndpointDeps are the collaborators of Endpoints; all are required but Hooks.
type EndpointDeps struct {
	Log   Log
	Clock Clock
	IDs   IDs
	// Secret fills its argument with bytes that nobody can guess.
	Secret func([]byte)
	Hooks  Hooks // Appended and Command
}

// Endpoints makes endpoints and knows their keys (contract D15). Safe for concurrent use.
//
// Nothing here reads a view: an endpoint is known the moment its creation is answered, on every node.
type Endpoints struct {
	deps  EndpointDeps
	cache endpointCache
}

// NewEndpoints builds the service. It starts nothing.
func NewEndpoints(deps EndpointDeps) *Endpoints {
	return &Endpoints{deps: deps, cache: newEndpointCache()}
}

// EndpointRequest asks for an endpoint. Key and Body are those of Ask.
type EndpointRequest struct {
	Slug      string
	Key, Body string
	By
}

// NewEndpoint is an endpoint just made. Key is in no store: whoever loses it makes another endpoint. It
// is "" in the answer to a repeat, for it was shown then, and a key that could be derived again from what
// a client sends to be safe would be no secret.
type NewEndpoint struct {
	endpoint.Created
	Key       string
	CreatedAt time.Time
	Position  domain.Position
}

// Create makes an endpoint "<slug>-<8 hex digits>" with a key of its own and returns once it is
// durable. Several may have one slug.
//
// Errors: ErrUnprocessable naming slug; ErrUnavailable if certainly nothing was stored;
// ErrIndeterminate if it may have been.
func (e *Endpoints) Create(ctx context.Context, slug string, by By) (NewEndpoint, error) {
	return e.CreateOnce(ctx, EndpointRequest{Slug: slug, By: by})
}

// CreateOnce is Create, but answers a repeat under the same key with the endpoint that is there. Another
// slug under that key is another endpoint, since the slug is part of its id.
//
// Errors: as Create; ErrUnprocessable with code IDEMPOTENCY_KEY_REUSED if the key stood for another body
// with that slug.
func (e *Endpoints) CreateOnce(ctx context.Context, q EndpointRequest) (NewEndpoint, error) {
	began := e.deps.Clock.Now()
	made, err := e.create(ctx, q)
	if e.deps.Hooks.Command != nil {
		e.deps.Hooks.Command("create_endpoint", e.deps.Clock.Now().Sub(began), err)
	}
	return made, err
}

func (e *Endpoints) create(ctx context.Context, q EndpointRequest) (NewEndpoint, error) {
	if err := endpoint.CheckSlug(q.Slug); err != nil {
		return NewEndpoint{}, err
	}
	command, prefix := Ask{Key: q.Key, Body: q.Body}.commandID("create_endpoint", e.deps.IDs)
	for try := 0; ; try++ {
		id := q.Slug + "-" + hex.EncodeToString(e.suffix(q.Key, try))
		if prefix != "" {
			if made, known, err := e.made(ctx, id, command, prefix); known || err != nil {
				return made, err
			}
		}
		made := NewEndpoint{Key: endpointKeyPrefix + base64.RawURLEncoding.EncodeToString(e.random(endpointKeyRandom))}
		made.Created = endpoint.Created{ID: id, Slug: q.Slug, KeyHash: endpoint.HashKey(made.Key)}
		head := wire.NewHead()
		made.CreatedAt = head.Instant(e.deps.Clock.Now())
		cause := wire.Cause{Actor: q.Actor, CommandID: command, CorrelationID: made.ID, Traceparent: q.Trace}
		typ, data := wire.EncodeEndpointCreated(made.Created)
		event, _ := wire.Seal(endpoint.Stream(made.ID), head, made.CreatedAt, cause, typ, data)
		at, err := e.append(ctx, endpoint.Stream(made.ID), event)
		switch {
		case err == nil:
			made.Position = at.Position
			return made, nil
		case !errors.Is(err, domain.ErrConflict):
			return NewEndpoint{}, err
		case prefix != "":
			// The id is taken: by another request with this key, or, hardly ever, by another key's.
			if made, known, err := e.made(ctx, id, command, prefix); known || err != nil {
				return made, err
			}
		}
		if try == writeAttemptsMax-1 {
			return NewEndpoint{}, err
		}
	}
}

// suffix is what tells endpoints of one slug apart: derived from the key of a request that has one, so
// that a repeat meets what is there, else random.
func (e *Endpoints) suffix(key string, try int) []byte {
	if key == "" {
		return e.random(endpointIDRandom)
	}
	sum := sha256.Sum256(strconv.AppendInt([]byte("endpoint\x00"+key+"\x00"), int64(try), 10))
	return sum[:endpointIDRandom]
}

// made looks for the endpoint that an earlier request with the same key made under an id. One that
// another key made is not known here. Errors: ErrUnprocessable with code IDEMPOTENCY_KEY_REUSED.
func (e *Endpoints) made(ctx context.Context, id, command, prefix string) (made NewEndpoint, known bool, err error) {
	page, err := e.deps.Log.ReadStream(ctx, endpoint.Stream(id), 0, 1)
	if errors.Is(err, domain.ErrNotFound) || err == nil && len(page) == 0 {
		return NewEndpoint{}, false, nil
	}
	if err != nil {
		return NewEndpoint{}, false, fmt.Errorf("read %s: %w", endpoint.Stream(id), err)
	}
	m, err := wire.DecodeMetadata(page[0].Metadata)
	switch {
	case err != nil:
		return NewEndpoint{}, false, err
	case !strings.HasPrefix(m.CommandID, prefix):
		return NewEndpoint{}, false, nil
	case m.CommandID != command:
		return NewEndpoint{}, true, KeyReused("create endpoint", id)
	}
	made = NewEndpoint{CreatedAt: m.At, Position: page[0].Position}
	made.Created, err = wire.DecodeEndpointCreated(page[0].Type, page[0].Data)
	return made, true, err
}

func (e *Endpoints) random(n int) []byte {
	b := make([]byte, n)
	e.deps.Secret(b)
	return b
}

// append stores the first event of a stream, asking with the same bytes again while nobody knows
// whether it is. Errors: ErrConflict, ErrUnavailable, ErrIndeterminate.
func (e *Endpoints) append(ctx context.Context, stream domain.StreamID, event domain.Pending) (Appended, error) {
	for try := 0; ; try++ {
		began := e.deps.Clock.Now()
		at, err := e.deps.Log.Append(ctx, stream, domain.NoStream, []domain.Pending{event})
		if e.deps.Hooks.Appended != nil {
			e.deps.Hooks.Appended(1, e.deps.Clock.Now().Sub(began), err)
		}
		if err == nil {
			return at, nil
		}
		err = fmt.Errorf("append to %s: %w", stream, err)
		if !errors.Is(err, domain.ErrIndeterminate) || try == writeAttemptsMax-1 || pause(ctx, e.deps.Clock, appendRetryFirst<<try) != nil {
			return Appended{}, err
		}
	}
}

// Authenticate returns the endpoint that id names if key is its key. The time it takes says nothing
// about the key.
//
// Errors: ErrNotFound with code ENDPOINT_UNKNOWN; ErrUnauthenticated with code KEY_MISSING or
// KEY_UNKNOWN; ErrCorrupt; those of the log.
func (e *Endpoints) Authenticate(ctx context.Context, id, key string) (endpoint.Created, error) {
	created, err := e.get(ctx, id)
	if err != nil {
		return endpoint.Created{}, err
	}
	if key == "" {
		return endpoint.Created{}, domain.E(domain.KindUnauthenticated, "", "", "the endpoint's key is missing; send it as subprotocol or header x-api-key").WithCode("KEY_MISSING")
	}
	if subtle.ConstantTimeCompare([]byte(endpoint.HashKey(key)), []byte(created.KeyHash)) != 1 {
		return endpoint.Created{}, domain.E(domain.KindUnauthenticated, "", "", "the key is not this endpoint's").WithCode("KEY_UNKNOWN")
	}
	return created, nil
}

// get reads an endpoint from its stream. Only what exists is cached, and it never changes.
func (e *Endpoints) get(ctx context.Context, id string) (endpoint.Created, error) {
	if created, ok := e.cache.get(id); ok {
		return created, nil
	}
	stream := endpoint.Stream(id)
	unknown := domain.E(domain.KindNotFound, "", "", "names no endpoint; POST /api/endpoints makes one").WithField("endpoint").WithCode("ENDPOINT_UNKNOWN")
	if id == "" || stream.Check() != nil {
		return endpoint.Created{}, unknown
	}
	page, err := e.deps.Log.ReadStream(ctx, stream, 0, 1)
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return endpoint.Created{}, unknown
	case err != nil:
		return endpoint.Created{}, fmt.Errorf("read %s: %w", stream, err)
	case len(page) == 0:
		return endpoint.Created{}, unknown
	}
	created, err := wire.DecodeEndpointCreated(page[0].Type, page[0].Data)
	if err != nil {
		return endpoint.Created{}, fmt.Errorf("read %s: %w", stream, err)
	}
	if created.ID != id {
		return endpoint.Created{}, domain.E(domain.KindCorrupt, "read", string(stream), "names another endpoint than its stream")
	}
	e.cache.put(created)
	return created, nil
}
