package projections

import (
	"quipu/domain/endpoint"
	"quipu/projections/view"
)

// applyEndpoint keeps one row for each endpoint.
func applyEndpoint(b *batch, f *fact) error {
	if f.aggregate != anEndpoint {
		return nil
	}
	if f.err != nil {
		return f.err
	}
	e, ok := f.event.(endpoint.Created)
	switch {
	case !ok:
		return nil
	case f.Revision != 0:
		return contradiction(f, "is not the first of its stream")
	case endpoint.Stream(e.ID) != f.Stream:
		return contradiction(f, "names another endpoint than its stream")
	}
	b.changes.Endpoints = append(b.changes.Endpoints, view.Endpoint{ID: e.ID, Slug: e.Slug, CreatedAt: f.at, Position: f.Position})
	return nil
}
