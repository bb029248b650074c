package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"quipu/infra/backup"
	"quipu/infra/blobs"
	"quipu/infra/clock"
	"quipu/infra/config"
	"quipu/infra/embedded"
	"quipu/infra/vault"
)

// Where the stores live below the data folder, and below a backup of it.
const (
	logFolder   = "log"
	keysFolder  = "keys"
	blobsFolder = "blobs"
)

// logDir is where the embedded log lives below the data folder.
func logDir(data string) string { return filepath.Join(data, logFolder) }

// backupData copies what cannot be derived from the data folder to `to`, while a server may be at work.
//
// The log comes first: blobs and keys are durable before an event names them, so what is copied of
// them afterwards holds all that the copied events need, and maybe more. The master key stays.
func backupData(ctx context.Context, c config.Config, to string, stdout io.Writer) error {
	data := c.Storage.Data
	began := clock.System{}.Now()
	if _, _, err := backup.Read(data); err != nil {
		return err
	}
	if _, _, err := embedded.Unopened(logDir(data)); err != nil {
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
	log, err := embedded.CopyTo(ctx, logDir(data), logDir(to), nil)
	if err != nil {
		return m, 0, err
	}
	m.SourceLog, m.Head = log.Source, log.Head
	m.Add(logFolder, log.Files)
	keys, err := vault.CopyTo(ctx, filepath.Join(data, keysFolder), filepath.Join(to, keysFolder))
	if err != nil {
		return m, 0, err
	}
	m.Add(keysFolder, keys)
	count, err := blobs.CopyTo(ctx, filepath.Join(data, blobsFolder), filepath.Join(to, blobsFolder), tellDamagedBlob(stdout))
	m.Blobs, m.BlobBytes, m.BlobsDamaged = count.Blobs, count.Bytes, count.Damaged
	return m, log.Unfinished, err
}

func tellDamagedBlob(stdout io.Writer) func(name string) {
	return func(name string) {
		fmt.Fprintf(stdout, "%s/%s/%s: the content is not what the name says, or cannot be read\n", blobsFolder, name[:2], name[2:])
	}
}

// checkBackup looks, before anything in data is opened, whether it is a backup and whole as far as
// that can be told without reading it. Anything else passes.
func checkBackup(data string) error {
	m, found, err := unopenedBackup(data)
	if err != nil || !found {
		return err
	}
	if err := m.CheckSizes(data); err != nil {
		return err
	}
	dir := filepath.Join(data, blobsFolder)
	count, err := blobs.Stat(dir)
	if err != nil {
		return err
	}
	return m.CheckBlobs(dir, count.Blobs, count.Bytes)
}

// unopenedBackup returns the manifest of the backup in data, !found if it is none or was opened.
func unopenedBackup(data string) (m backup.Manifest, found bool, err error) {
	if m, found, err = backup.Read(data); err != nil || !found {
		return m, false, err
	}
	_, unopened, err := embedded.Unopened(logDir(data))
	if err != nil {
		return m, false, fmt.Errorf("the backup in %s has no whole log; copy it again: %w", data, err)
	}
	return m, unopened, nil
}

// verifyBackup compares a backup with its manifest and each blob with its name, and returns the number of
// problems; a data folder that is no backup has none.
func verifyBackup(ctx context.Context, data string, stdout io.Writer) (problems int, err error) {
	m, found, err := unopenedBackup(data)
	if err != nil || !found {
		return 0, err
	}
	err = m.VerifyFiles(ctx, data, func(problem string) {
		problems++
		fmt.Fprintln(stdout, problem)
	})
	if err != nil {
		return problems, err
	}
	dir := filepath.Join(data, blobsFolder)
	count, err := blobs.Verify(ctx, dir, tellDamagedBlob(stdout))
	if err != nil {
		return problems, err
	}
	problems += count.Damaged
	if err := m.CheckBlobs(dir, count.Blobs, count.Bytes); err != nil {
		problems++
		fmt.Fprintln(stdout, err)
	}
	fmt.Fprintf(stdout, "backup of log %s up to position %d, made %s: %d files and %d blobs looked at: %d problems\n",
		m.SourceLog, m.Head, m.CreatedAt, len(m.Files), count.Blobs, problems)
	return problems, nil
}
