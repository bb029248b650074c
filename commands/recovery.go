package commands

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"quipu/domain"
	"quipu/domain/wire"
)

// recover finds every unfinished run by a scan of the log and opens it: the oldest first, up to
// the limit of active runs, the others in line behind them.
func (e *Executor) recover(ctx context.Context) error {
	open, err := openRuns(ctx, e.deps.Log)
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	for _, id := range open {
		if !e.enter() {
			e.wait(id)
			continue
		}
		if err := e.send(ctx, id, inOpen{runID: id}); err != nil {
			return err
		}
	}
	if len(open) > 0 {
		e.deps.Logger.Info("carrying on unfinished runs", "runs", len(open))
	}
	return nil
}

// scanPage is how many events one read of the scan asks for.
const scanPage = 4096

// openRuns lists the ids of runs without an end, in the order they started.
func openRuns(ctx context.Context, log Log) ([]string, error) {
	order := map[domain.StreamID]domain.Position{}
	var after domain.Position
	for {
		page, err := log.ReadAll(ctx, after, scanPage)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			return sortedRuns(order), nil
		}
		for i := range page {
			r := &page[i]
			after = r.Position
			if !strings.HasPrefix(string(r.Stream), RunStreamPrefix) {
				continue
			}
			if wire.EndsRun(r.Type) {
				delete(order, r.Stream)
			} else if r.Revision == 0 {
				order[r.Stream] = r.Position
			}
		}
	}
}

func sortedRuns(order map[domain.StreamID]domain.Position) []string {
	ids := make([]string, 0, len(order))
	for s := range order {
		ids = append(ids, strings.TrimPrefix(string(s), RunStreamPrefix))
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Compare(order[RunStream(a)], order[RunStream(b)]) })
	return ids
}
