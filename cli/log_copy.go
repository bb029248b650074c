package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"quipu/app/stores"
	"quipu/commands"
	"quipu/domain"
	"quipu/infra/blobs"
	"quipu/infra/clock"
	"quipu/infra/config"
	"quipu/infra/embedded"
	"quipu/infra/kurrentdb"
	"quipu/infra/kurrentport"
	"quipu/infra/logcopy"
)

// copyLog carries out quipu log copy.
func copyLog(ctx context.Context, c config.LogCopy, logger *slog.Logger, stdout io.Writer) (err error) {
	source, closeSource, err := openCopySource(ctx, c, logger)
	if err != nil {
		return fmt.Errorf("log copy: --from: %w", err)
	}
	defer func() { err = errors.Join(err, closeSource()) }()
	target, err := openCopyTarget(ctx, c, logger)
	if err != nil {
		return fmt.Errorf("log copy: --to: %w", err)
	}
	defer func() { err = errors.Join(err, target.Close()) }()

	began := clock.System{}.Now()
	done, err := logcopy.Copy(ctx, source, target, logcopy.Options{Progress: progressPrinter(stdout), LeaveOut: leaveOut(c)})
	took := clock.System{}.Now().Sub(began)
	if err != nil {
		fmt.Fprintf(stdout, "not complete: %d events found in the target, %d copied in %.1f s\n", done.Found, done.Copied, took.Seconds())
		return fmt.Errorf("log copy: %w", err)
	}
	fmt.Fprintf(stdout, "copied log %s up to position %d to log %s: %d events in it, %d of them copied now in %d appends, %d of those chained; all compared with the source; %.1f s\n",
		done.Source, done.SourceHead, done.Target, done.Events, done.Copied, done.Appends, done.Chained, took.Seconds())
	return tellRest(c, stdout)
}

// copyProgressEvery is how often the state of a copy is printed.
const copyProgressEvery = time.Second

func progressPrinter(stdout io.Writer) func(logcopy.Progress) {
	last, before := clock.System{}.Now(), logcopy.Progress{}
	return func(p logcopy.Progress) {
		now := clock.System{}.Now()
		if now.Sub(last) < copyProgressEvery {
			return
		}
		rate := float64(p.Events) // of a phase that has just begun
		if p.Phase == before.Phase {
			rate -= float64(before.Events)
		}
		percent := 100.0
		if p.Goal > 0 {
			percent = 100 * float64(p.Position) / float64(p.Goal)
		}
		fmt.Fprintf(stdout, "%s: %d events, position %d of %d (%.0f %%), %.0f events/s\n",
			p.Phase, p.Events, p.Position, p.Goal, percent, rate/now.Sub(last).Seconds())
		last, before = now, p
	}
}

// openCopySource opens a log to read: that of a folder also beside the server that writes to it.
func openCopySource(ctx context.Context, c config.LogCopy, logger *slog.Logger) (logcopy.Source, func() error, error) {
	if isClusterURL(c.From.Reveal()) {
		log, err := stores.OpenKurrentDB(ctx, c.From, c.FromLogPrefix, logger, kurrentdb.Hooks{})
		if err != nil {
			return nil, nil, err
		}
		return log, log.Close, nil
	}
	reader, err := embedded.OpenReadOnly(stores.LogDir(c.From.Reveal()), embedded.Options{Logger: logger})
	if err != nil {
		return nil, nil, fmt.Errorf("name a server's data folder, or esdb://host:port: %w", err)
	}
	return reader, reader.Close, nil
}

func openCopyTarget(ctx context.Context, c config.LogCopy, logger *slog.Logger) (commands.Log, error) {
	if isClusterURL(c.To.Reveal()) {
		return stores.OpenKurrentDB(ctx, c.To, c.ToLogPrefix, logger, kurrentdb.Hooks{})
	}
	if to := c.To.Reveal(); strings.Contains(to, "://") {
		return nil, domain.E(domain.KindInvalid, "", "", "is neither a folder nor a URL with esdb, esdb+discover, kurrentdb or kurrentdb+discover before ://")
	}
	data := c.To.Reveal()
	if err := os.MkdirAll(data, 0o750); err != nil {
		return nil, err
	}
	log, err := embedded.Open(stores.LogDir(data), embedded.Options{Logger: logger, Clock: clock.System{}.Now})
	if err != nil {
		return nil, fmt.Errorf("stop the server that uses %s: %w", data, err)
	}
	return log, nil
}

// tellRest says what a server needs beside its log.
func tellRest(c config.LogCopy, stdout io.Writer) error {
	if isClusterURL(c.From.Reveal()) {
		fmt.Fprintln(stdout, "not in a log: blobs and data keys; a server on the copy needs those of the source, where --cluster or the data folder keeps them")
		return nil
	}
	from := c.From.Reveal()
	count, err := blobs.Stat(stores.BlobsDir(from))
	if err != nil {
		return fmt.Errorf("count the blobs of %s: %w", from, err)
	}
	where := "into what --cluster names"
	if !isClusterURL(c.To.Reveal()) {
		where = "to " + c.To.Reveal()
	}
	fmt.Fprintf(stdout, "not in a log: %d blobs of %d bytes in %s, the data keys in %s; a server on the copy needs both, copied %s, and the same master key\n",
		count.Blobs, count.Bytes, stores.BlobsDir(from), stores.KeysDir(from), where)
	return nil
}

// isClusterURL reports whether a log is named by the URL of a cluster rather than by a folder.
func isClusterURL(name string) bool {
	scheme, _, ok := strings.Cut(name, "://")
	switch strings.ToLower(scheme) {
	case "esdb", "esdb+discover", "kurrentdb", "kurrentdb+discover":
		return ok
	}
	return false
}

// idStream is where package kurrentdb keeps a log's id.
const idStream = "quipu-log"

// leaveOut says which streams are no part of a copy: that of a log's own id; and beside a cluster those of
// other clients, which are no streams of Quipu there but the cluster's own.
func leaveOut(c config.LogCopy) func(domain.StreamID) bool {
	folders := !isClusterURL(c.From.Reveal()) && !isClusterURL(c.To.Reveal())
	return func(s domain.StreamID) bool {
		return s == idStream || !folders && strings.HasPrefix(string(s), kurrentport.ExternalPrefix)
	}
}
