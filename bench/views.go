package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the raw limit speaks to the same engine

	"quipu/bench/history"
	"quipu/bench/report"
	"quipu/domain"
	"quipu/infra/clock"
	"quipu/infra/embedded"
	"quipu/infra/sqlite"
	"quipu/projections"
)

// catchUpEvents are built into views in one go.
const catchUpEvents = 260_000

// views measures the views of the embedded profile, in this process.
func views(b *bench) error {
	if err := b.catchUpSQLite(); err != nil {
		return fmt.Errorf("catch up: %w", err)
	}
	dir, remove, err := b.temp()
	if err != nil {
		return err
	}
	defer remove()
	return b.lag("SQLite", func(log *embedded.Log) (projections.Generations, error) {
		return sqlite.Open(filepath.Join(dir, "views"), log, sqlite.Options{})
	})
}

// openGenerations opens a store of views over a log.
type openGenerations func(*embedded.Log) (projections.Generations, error)

// feed is a log as the projection runner reads it.
type feed struct{ *embedded.Log }

func (f feed) Follow(ctx context.Context, after domain.Position) (projections.Source, error) {
	sub, err := f.Subscribe(ctx, after, "")
	if err != nil {
		return nil, err
	}
	return source{sub}, nil
}

// buildViews projects everything in log, through the runner that the server uses, and returns how
// long that took.
func buildViews(log *embedded.Log, store projections.Generations) (time.Duration, error) {
	ctx := context.Background()
	head, err := log.Head(ctx)
	if err != nil {
		return 0, err
	}
	r := projections.NewRunner(store, feed{log}, clock.System{}, projections.Options{Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	began := time.Now()
	for r.Status(ctx).Position < head {
		if _, err := r.Once(ctx); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

const viewsSection = "views, in process"

func addCatchUp(b *bench, store string, events int, took time.Duration, rawName string, rawRows int, raw time.Duration, note string) {
	figure, limit := float64(events)/took.Seconds(), float64(events)/raw.Seconds()
	b.report.Add(report.Row{
		Section: viewsSection, What: store + ", catch-up", Figure: figure, Unit: "events/s", Raw: limit, RawUnit: "events/s (" + rawName + ")",
		Ratio: figure / limit, Target: report.RatioAtLeast(0.3),
		Note: fmt.Sprintf("%s events read, decoded, folded and stored; the raw limit inserts the same %s rows into the same tables and indexes%s", thousands(events), thousands(rawRows), note),
	})
}

func (b *bench) catchUpSQLite() error {
	data, remove, err := b.temp()
	if err != nil {
		return err
	}
	defer remove()
	shape := history.Of(catchUpEvents/13, catchUpEvents)
	log, err := embedded.Open(logDir(data), embedded.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // read only by now
	if err := shape.Fill(context.Background(), log, nil); err != nil {
		return err
	}
	folder := filepath.Join(data, "views")
	store, err := sqlite.Open(folder, log, sqlite.Options{})
	if err != nil {
		return err
	}
	took, err := buildViews(log, store)
	if err := errors.Join(err, store.Close()); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.db"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("%d files of views in %s: %v", len(files), folder, err)
	}
	rows, raw, err := rawSQLite(files[0], filepath.Join(data, "raw.db"))
	if err != nil {
		return err
	}
	addCatchUp(b, "SQLite", shape.Events(), took, "bulk insert", rows, raw, "")
	return nil
}

// rawSQLite inserts the rows of a file of views into a new file with the same tables and indexes, in
// transactions of 1,000 rows, one prepared statement a table, and says how long that took.
func rawSQLite(from, to string) (rows int, took time.Duration, err error) {
	src, err := sql.Open("sqlite", "file:"+from+"?mode=ro")
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = src.Close() }() // read only
	dst, err := sql.Open("sqlite", "file:"+to+"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=cache_size(-16384)&_txlock=immediate")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	dst.SetMaxOpenConns(1)
	tables, err := copySchema(src, dst)
	if err != nil {
		return 0, 0, err
	}
	for _, table := range tables {
		columns, all, err := readTable(src, table)
		if err != nil {
			return 0, 0, err
		}
		began := time.Now()
		if err := insertAll(dst, table, columns, all); err != nil {
			return 0, 0, fmt.Errorf("insert into %s: %w", table, err)
		}
		took += time.Since(began)
		rows += len(all)
	}
	return rows, took, nil
}

func copySchema(src, dst *sql.DB) (tables []string, err error) {
	rows, err := src.Query(`SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type = 'index'`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var kind, name, statement string
		if err := rows.Scan(&kind, &name, &statement); err != nil {
			return nil, err
		}
		if _, err := dst.Exec(statement); err != nil {
			return nil, err
		}
		if kind == "table" {
			tables = append(tables, name)
		}
	}
	return tables, rows.Err()
}

func readTable(src *sql.DB, table string) (columns []string, all [][]any, err error) {
	rows, err := src.Query("SELECT * FROM " + table)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if columns, err = rows.Columns(); err != nil {
		return nil, nil, err
	}
	for rows.Next() {
		row, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, nil, err
		}
		all = append(all, row)
	}
	return columns, all, rows.Err()
}

// rawBatch is the size of a raw transaction.
const rawBatch = 1000

func insertAll(dst *sql.DB, table string, columns []string, all [][]any) error {
	statement := "INSERT INTO " + table + " VALUES (?" + strings.Repeat(",?", len(columns)-1) + ")"
	for batch := range slices.Chunk(all, rawBatch) {
		tx, err := dst.Begin()
		if err != nil {
			return err
		}
		insert, err := tx.Prepare(statement)
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
		for _, row := range batch {
			if _, err := insert.Exec(row...); err != nil {
				return errors.Join(err, tx.Rollback())
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// lag measures how long an event that is on disk takes into the views, at frameRate events/s.
func (b *bench) lag(store string, open openGenerations) error {
	dir, remove, err := b.temp()
	if err != nil {
		return err
	}
	defer remove()
	k, err := newKit(dir, embedded.Options{})
	if err != nil {
		return err
	}
	took, rate, err := b.lagsOf(k, open)
	if closed := k.close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	slices.Sort(took)
	at := func(percent int) float64 { return millis(took[len(took)*percent/100]) }
	b.report.Add(report.Row{
		Section: viewsSection, What: store + ", from acknowledgement into the views, p99", Figure: at(99), Unit: "ms", Target: report.AtMost(250),
		Note: fmt.Sprintf("%.0f events/s on %d runs; p50 %.1f ms; nobody waits, so commits keep their pace of %s", rate, frameRuns, at(50), projections.LingerDefault),
	})
	return nil
}

func (b *bench) lagsOf(k *kit, open openGenerations) (took []time.Duration, rate float64, err error) {
	store, err := open(k.log)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	// commits are the positions the views have reached, and when.
	type commit struct {
		at       time.Time
		position domain.Position
	}
	var (
		mu      sync.Mutex
		commits []commit
		runner  atomic.Pointer[projections.Runner]
	)
	ctx, stop := context.WithCancel(context.Background())
	runner.Store(projections.NewRunner(store, feed{k.log}, clock.System{}, projections.Options{Hooks: projections.Hooks{
		Committed: func(int, int, time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			commits = append(commits, commit{time.Now(), runner.Load().Position()})
		},
	}}))
	ended := make(chan error, 1)
	go func() { ended <- runner.Load().Run(ctx) }()
	acked, rate, err := b.paced(k)
	if err == nil {
		var last domain.Position
		for _, a := range acked {
			last = max(last, a.position)
		}
		_, err = runner.Load().Wait(ctx, last)
	}
	stop()
	if err := errors.Join(err, <-ended); err != nil {
		return nil, 0, err
	}
	for _, a := range acked {
		i, _ := slices.BinarySearchFunc(commits, a.position, func(c commit, p domain.Position) int { return int(int64(c.position) - int64(p)) })
		if i == len(commits) {
			return nil, 0, fmt.Errorf("position %d was never committed", a.position)
		}
		took = append(took, max(0, commits[i].at.Sub(a.at)))
	}
	return took, rate, nil
}

// ack is an append and when it was acknowledged.
type ack struct {
	at       time.Time
	position domain.Position
}

// paced appends at frameRate events/s for the time of a point.
func (b *bench) paced(k *kit) (all []ack, rate float64, err error) {
	appends := int(b.point() / frameEvery)
	errs := make([]error, frameRuns)
	acks := make([][]ack, frameRuns)
	start := time.Now()
	var wg sync.WaitGroup
	for i := range frameRuns {
		wg.Go(func() {
			r, err := k.newRun(fmt.Sprintf("lag%d", i))
			for n := 0; n < appends && err == nil; n++ {
				time.Sleep(time.Until(start.Add(frameEvery * time.Duration(i) / frameRuns).Add(time.Duration(n) * frameEvery)))
				err = r.step()
				acks[i] = append(acks[i], ack{time.Now(), r.position})
			}
			errs[i] = err
		})
	}
	wg.Wait()
	for i := range errs {
		if errs[i] != nil {
			return nil, 0, errs[i]
		}
		all = append(all, acks[i]...)
	}
	return all, float64(frameRuns*appends*eventsPerAppend) / time.Since(start).Seconds(), nil
}
