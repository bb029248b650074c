package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"quipu/domain"
	"quipu/domain/wire"
)

// recover finds every unfinished run by a scan of the log and opens it: the oldest first, up to
// the limit of active runs, the others in line behind them.
func (e *Executor) recover(ctx context.Context) error {
	open, err := e.openRuns(ctx)
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	for _, id := range open {
		if !e.enter() {
			if id = e.wait(id, false); id == "" {
				continue
			}
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

const scanRetryFirst = 100 * time.Millisecond

// openRuns lists the ids of runs without an end, in the order they started.
//
// A log that is not there yet is waited for: the processes of a machine start in any order.
func (e *Executor) openRuns(ctx context.Context) ([]string, error) {
	order := map[domain.StreamID]domain.Position{}
	var after domain.Position
	failures := 0
	for {
		page, err := e.deps.Log.ReadAll(ctx, after, scanPage)
		if errors.Is(err, domain.ErrUnavailable) {
			wait := min(scanRetryFirst<<min(failures, 20), e.limits.AppendRetryMax)
			e.deps.Logger.Warn("the log cannot be read; trying again", "after", wait, "error", err)
			if failures++; e.pause(ctx, wait, nil) {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		failures = 0
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
				order[domain.StreamID(strings.Clone(string(r.Stream)))] = r.Position // not the page with it
			}
		}
	}
}

func sortedRuns(order map[domain.StreamID]domain.Position) []string {
	streams := slices.Collect(maps.Keys(order))
	slices.SortFunc(streams, func(a, b domain.StreamID) int { return cmp.Compare(order[a], order[b]) })
	ids := make([]string, len(streams))
	for i, s := range streams {
		ids[i] = strings.TrimPrefix(string(s), RunStreamPrefix)
	}
	return ids
}
