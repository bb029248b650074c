package history

import (
	"context"
	"errors"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
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
			o := object.New(dst)
			o.Str("endpoint", e.ID)
			o.Str("slug", e.Slug)
			o.Time("created_at", e.CreatedAt)
			o.Position("position", r.deps.Log.ID(), e.Position)
			return o.Done(), nil
		},
		key: func(e *view.Endpoint) domain.Position { return e.Position },
	})
}
