package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"quipu/app/progress"
	"quipu/app/stores"
	"quipu/domain"
	"quipu/infra/clock"
	"quipu/infra/config"
	"quipu/infra/embedded"
	"quipu/projections"
)

// viewsHere does the work on a folder: a check also beside the server, a rebuild only without one.
func viewsHere(ctx context.Context, c config.Config, name string, logger *slog.Logger, show func(progress.Line)) error {
	if c.Log.Remote() {
		if name == "verify" {
			return verifyViewsBeside(ctx, c, logger, show)
		}
		// Another node may own the views, and nothing here would keep the two apart.
		return errors.New("the views of a log that nodes share are built anew by one of them: name it with --server")
	}
	switch _, unopened, err := embedded.Unopened(stores.LogDir(c.Storage.Data)); {
	case err != nil:
		return fmt.Errorf("set --data to a server's data folder: %w", err)
	case unopened:
		return fmt.Errorf("%s is a backup that no server has opened: it has no views; start a server on it", c.Storage.Data)
	}
	if name == "verify" {
		return verifyViewsBeside(ctx, c, logger, show)
	}
	return rebuildViewsHere(ctx, c, logger, show)
}

func rebuildViewsHere(ctx context.Context, c config.Config, logger *slog.Logger, show func(progress.Line)) (err error) {
	log, err := embedded.Open(stores.LogDir(c.Storage.Data), embedded.Options{Logger: logger, Clock: clock.System{}.Now})
	if err != nil {
		return fmt.Errorf("a rebuild is done by the running server, which --server names, or on the folder of a stopped one: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	store, err := stores.OpenViews(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return watched(ctx, log.ID(), stores.NewRunner(store, stores.ViewsFeed{Log: log}, nil, c, logger, projections.Hooks{}).Rebuild, show)
}

// watched does the work and shows its lines.
func watched(ctx context.Context, log domain.LogID, work progress.Work, show func(progress.Line)) error {
	result, err := work(ctx, func(p projections.Progress) { show(progress.Of(log, p)) })
	if err == nil {
		show(progress.Last(log, result, nil))
	}
	return err
}
