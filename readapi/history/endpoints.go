package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
	"quipu/domain/endpoint"
	"quipu/domain/wire"
	"quipu/projections/view"
	"quipu/readapi/object"
	"quipu/readapi/params"
)

// endpoints answers GET /api/endpoints: newest first, unless asked otherwise. Keys are never shown.
func (r *Routes) endpoints(c *fiber.Ctx) error {
	q, err := params.Bind[pagingParams](params.Read(c))
	p, pageErr := q.check(listEndpoints, r.deps.Log.ID(), false)
	if err := errors.Join(err, pageErr); err != nil {
		return err
	}
	return serve(r, c, p, lister[view.Endpoint]{
		asked: params.Describe[pagingParams](),
		query: r.deps.Views.Endpoints,
		show: func(_ context.Context, dst []byte, e *view.Endpoint) ([]byte, error) {
			return r.appendEndpoint(dst, e.ID, e.Slug, e.CreatedAt, e.Position), nil
		},
		key: func(e *view.Endpoint) domain.Position { return e.Position },
	})
}

// appendEndpoint is an endpoint as clients see it; nothing that has to do with its key is among it.
func (r *Routes) appendEndpoint(dst []byte, id, slug string, createdAt time.Time, position domain.Position) []byte {
	o := object.New(dst)
	o.Str("endpoint", id)
	o.Str("slug", slug)
	o.Time("created_at", createdAt)
	o.Position("position", r.deps.Log.ID(), position)
	return o.Done()
}

// endpoint answers GET /api/endpoints/:id from the endpoint's stream.
func (r *Routes) endpoint(c *fiber.Ctx) error {
	unknown := domain.E(domain.KindNotFound, "", "", "names no endpoint").WithField("path/id").WithCode("ENDPOINT_UNKNOWN")
	id, err := rawID(c)
	if err != nil {
		return err
	}
	stream := endpoint.Stream(id)
	if id == "" || stream.Check() != nil {
		return unknown
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), r.options.FoldTimeout)
	defer cancel()
	page, err := r.deps.Log.ReadStream(ctx, stream, 0, 1)
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return unknown
	case err != nil:
		return fmt.Errorf("read %s: %w", stream, err)
	case len(page) == 0:
		return unknown
	}
	e, err := wire.DecodeEndpointCreated(page[0].Type, page[0].Data)
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	at, err := wire.DecodeAt(page[0].Metadata)
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	b := r.appendEndpoint([]byte(`{"data":`), e.ID, e.Slug, at, page[0].Position)
	return sendJSON(c, append(b, `,"status":"success"}`...))
}
