package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"quipu/app/progress"
	"quipu/app/stores"
	"quipu/domain"
	"quipu/infra/config"
	"quipu/infra/embedded"
	"quipu/infra/kurrentdb"
	"quipu/infra/postgres"
	"quipu/infra/sqlite"
	"quipu/projections"
)

// verifyViewsBeside compares the views of a folder with its log and changes neither, so that it may
// run beside the server. The rows to compare with are built in a folder for temporary files.
func verifyViewsBeside(ctx context.Context, c config.Config, logger *slog.Logger, show func(progress.Line)) (err error) {
	log, err := openFeedBeside(ctx, c, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	folder, err := os.MkdirTemp("", "quipu-verify-")
	if err != nil {
		return fmt.Errorf("make a folder for the rows to compare with (TMPDIR says where): %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	both, err := openBeside(ctx, c, log, folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, both.Close()) }()
	compared := false
	err = watched(ctx, log.ID(), stores.NewRunner(both, log, nil, c, logger, projections.Hooks{}).Verify, func(l progress.Line) {
		compared = compared || l.Result != nil && l.Result.Compared
		show(l)
	})
	head, headErr := log.Head(ctx)
	if errors.Is(err, domain.ErrNotFound) || err == nil && !compared && (headErr != nil || head > 0) {
		return nothingBuilt(c)
	}
	return err
}

// feedBeside is a log that a server may be writing to, as it is read beside that.
type feedBeside interface {
	projections.Feed
	sqlite.EventLog
	Close() error
}

func openFeedBeside(ctx context.Context, c config.Config, logger *slog.Logger) (feedBeside, error) {
	if c.Log.Remote() {
		log, err := stores.OpenKurrentDB(ctx, c.Log.URL, c.LogNames.Prefix, logger, kurrentdb.Hooks{})
		return stores.ViewsFeed{Log: log}, err
	}
	log, err := embedded.OpenReadOnly(stores.LogDir(c.Storage.Data), embedded.Options{Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("set --data to a server's data folder: %w", err)
	}
	return readerFeed{log}, nil
}

// nothingBuilt is no success: whoever forgot --views would take it for a check without differences.
func nothingBuilt(c config.Config) error {
	if c.Views.URL.Reveal() != "" {
		return errors.New("nothing has been built in this database yet, so nothing was compared: set --views to the server's, or start a server with it")
	}
	return fmt.Errorf("nothing has been built in %s yet, so nothing was compared: start a server on the folder, or set --views if its views are in Postgres",
		stores.ViewsDir(c.Storage.Data))
}

// beside builds generations apart from the views that it looks at.
type beside struct{ served, scratch projections.Generations }

func openBeside(ctx context.Context, c config.Config, log sqlite.EventLog, folder string) (b beside, err error) {
	if b.scratch, err = sqlite.Open(folder, log, sqlite.Options{}); err != nil {
		return b, err
	}
	if url := c.Views.URL.Reveal(); url != "" {
		b.served, err = postgres.Open(ctx, url, postgres.Options{ReadersMax: c.Views.ReadersMax, ReadTimeout: c.Views.ReadTimeout})
	} else {
		b.served, err = sqlite.Open(stores.ViewsDir(c.Storage.Data), log, sqlite.Options{ReadOnly: true})
	}
	if err != nil {
		err = errors.Join(err, b.scratch.Close())
	}
	return b, err
}

// Current implements projections.Generations.
func (b beside) Current(ctx context.Context) (projections.Store, error) { return b.served.Current(ctx) }

// Begin implements projections.Generations.
func (b beside) Begin(ctx context.Context) (projections.Store, error) { return b.scratch.Begin(ctx) }

// Drop implements projections.Generations.
func (b beside) Drop(ctx context.Context, s projections.Store) error { return b.scratch.Drop(ctx, s) }

// Promote implements projections.Generations: what was built here stays apart.
func (b beside) Promote(context.Context, projections.Store) error {
	return domain.E(domain.KindRefused, "promote", "views", "they are only looked at")
}

// Close implements projections.Generations.
func (b beside) Close() error { return errors.Join(b.served.Close(), b.scratch.Close()) }

// readerFeed fits a log that another process may be writing to what projectors read.
type readerFeed struct{ *embedded.Reader }

// Head implements projections.Feed: as it is now, since the rows may be of a moment ago.
func (f readerFeed) Head(ctx context.Context) (domain.Position, error) {
	if err := f.Refresh(ctx); err != nil {
		return 0, err
	}
	return f.Reader.Head(ctx)
}

// Follow implements projections.Feed.
func (f readerFeed) Follow(_ context.Context, after domain.Position) (projections.Source, error) {
	return &readerSource{f, after}, nil
}

// readerSource reads on from a position.
type readerSource struct {
	feed  readerFeed
	after domain.Position
}

// Bounds of a reading of a log that others write.
const (
	readerEventsMax = 1000
	readerPoll      = 50 * time.Millisecond
	readerWaitMax   = 5 * time.Second // for what the rows hold already; longer, and the log has lost it
)

// Next implements projections.Source. Errors: ErrUnavailable if nothing comes for a while.
func (s *readerSource) Next(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
	for waited := time.Duration(0); ; waited += readerPoll {
		head, err := s.feed.Reader.Head(ctx)
		if err == nil && head <= s.after {
			head, err = s.feed.Head(ctx)
		}
		if err != nil {
			return nil, s.after, false, err
		}
		if head > s.after {
			page, err := s.feed.ReadAll(ctx, s.after, readerEventsMax)
			if err != nil || len(page) > 0 {
				if err == nil {
					s.after = page[len(page)-1].Position
				}
				return page, s.after, s.after >= head, err
			}
		}
		if waited >= readerWaitMax {
			return nil, s.after, true, domain.E(domain.KindUnavailable, "read", "log", "the rows reach beyond what it shows")
		}
		timer := time.NewTimer(readerPoll)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, s.after, false, domain.E(domain.KindCanceled, "read", "log", "given up")
		case <-timer.C:
		}
	}
}

// Close implements projections.Source.
func (s *readerSource) Close() error { return nil }
