package projections

import (
	"context"

	"quipu/domain"
	"quipu/projections/view"
)

// newestRow is what adapters that readers ask are too.
type newestRow interface {
	Events(ctx context.Context, q view.EventQuery) (view.Slice[view.Event], error)
}

// sameEvents compares the newest event's row with the log. A log that was replaced by an older copy
// of itself and went on reaches the rows' position again, with other events.
func (r *Runner) sameEvents(ctx context.Context, state State) error {
	rows, ok := r.gens.(newestRow)
	if !ok || state.Position == 0 {
		return nil
	}
	newest, err := rows.Events(ctx, view.EventQuery{Before: state.Position + 1, Page: view.Page{Limit: 1}})
	if err != nil || len(newest.Rows) == 0 {
		return err
	}
	row := newest.Rows[0]
	source, err := r.feed.Follow(ctx, row.Position-1)
	if err != nil {
		return feedError{err}
	}
	defer source.Close() //nolint:errcheck // reading is over
	events, _, _, err := source.Next(ctx)
	if err != nil {
		return feedError{err}
	}
	if len(events) == 0 || events[0].Position != row.Position || events[0].ID != row.ID {
		return refuse(CodeLogChanged, "their newest event, at "+row.Position.Cursor(state.Log)+", is not the one there in the log: the log was replaced by an older copy and has gone on")
	}
	return nil
}

func refuse(code, what string) error {
	return domain.E(domain.KindRefused, "open", "views", what+"; build them anew with `quipu views rebuild`").WithCode(code)
}
