package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"quipu/app/stores"
	"quipu/infra/backup"
	"quipu/infra/blobs"
	"quipu/infra/clock"
	"quipu/infra/config"
	"quipu/infra/embedded"
	"quipu/infra/vault"
)

// backupData carries out quipu log backup: it copies what cannot be derived from the data folder to `to`, while a server may be at work.
//
// The log comes first: blobs and keys are durable before an event names them, so what is copied of
// them afterwards holds all that the copied events need, and maybe more. The master key stays.
func backupData(ctx context.Context, c config.Config, to, version string, stdout io.Writer) error {
	data := c.Storage.Data
	began := clock.System{}.Now()
	if _, _, err := backup.Read(data); err != nil {
		return err
	}
	if _, _, err := embedded.Unopened(stores.LogDir(data)); err != nil {
		return fmt.Errorf("back up %s (set --data to a server's data folder; a log that --log names is copied by log copy): %w", data, err)
	}
	target, err := backup.Begin(data, to)
	if err != nil {
		return err
	}
	m, unfinished, err := copyStores(ctx, data, to, stdout)
	if err != nil {
		return fmt.Errorf("back up %s (%s is not complete; remove it): %w", data, to, err)
	}
	now := clock.System{}.Now()
	m.Quipu, m.CreatedAt = version, now.UTC().Format(time.RFC3339)
	if err := target.Finish(m); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "backed up log %s up to position %d, %d blobs, %d bytes in all, to %s in %.1f s; %d bytes of a batch under way left out; not in it: the master key\n",
		m.SourceLog, m.Head, m.Blobs, m.Bytes(), to, now.Sub(began).Seconds(), unfinished)
	if m.BlobsDamaged > 0 {
		return fmt.Errorf("back up %s: %d blobs are damaged and left out; all else is backed up", data, m.BlobsDamaged)
	}
	return nil
}

// copyStores copies one store after the other and says what was copied.
func copyStores(ctx context.Context, data, to string, stdout io.Writer) (m backup.Manifest, unfinished int64, err error) {
	log, err := embedded.CopyTo(ctx, stores.LogDir(data), stores.LogDir(to), nil)
	if err != nil {
		return m, 0, err
	}
	m.SourceLog, m.Head = log.Source, log.Head
	m.Add(stores.LogFolder, log.Files)
	keys, err := vault.CopyTo(ctx, stores.KeysDir(data), stores.KeysDir(to))
	if err != nil {
		return m, 0, err
	}
	m.Add(stores.KeysFolder, keys)
	count, err := blobs.CopyTo(ctx, stores.BlobsDir(data), stores.BlobsDir(to), tellDamagedBlob(stdout))
	m.Blobs, m.BlobBytes, m.BlobsDamaged = count.Blobs, count.Bytes, count.Damaged
	return m, log.Unfinished, err
}

func tellDamagedBlob(stdout io.Writer) func(name string) {
	return func(name string) {
		fmt.Fprintf(stdout, "%s/%s/%s: the content is not what the name says, or cannot be read\n", stores.BlobsFolder, name[:2], name[2:])
	}
}
