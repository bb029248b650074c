package cli

import (
	"context"
	"fmt"
	"io"

	"quipu/app/stores"
	"quipu/infra/blobs"
	"quipu/infra/config"
	"quipu/infra/embedded"
)

// verifyLog carries out quipu log verify: it prints what is wrong with a stopped server's log, or a backup, and where.
func verifyLog(ctx context.Context, c config.Config, stdout io.Writer) error {
	problems, err := verifyBackup(ctx, c.Storage.Data, stdout)
	if err != nil {
		return err
	}
	summary, err := embedded.VerifyDir(ctx, stores.LogDir(c.Storage.Data), nil, func(p embedded.Problem) { fmt.Fprintln(stdout, p) })
	if err != nil {
		return fmt.Errorf("verify log in %s (set --data to the data folder of a server, or of log serve; a log that --log names is checked by log copy): %w", c.Storage.Data, err)
	}
	fmt.Fprintf(stdout, "%d events of %d streams in %d segments, %d of them chained, head at position %d: %d problems\n",
		summary.Events, summary.Streams, summary.Segments, summary.Chained, summary.Head, summary.Problems)
	if problems += summary.Problems; problems > 0 {
		return fmt.Errorf("verify log in %s: %d problems", c.Storage.Data, problems)
	}
	return nil
}

// verifyBackup compares a backup with its manifest and each blob with its name, and returns the number of
// problems; a data folder that is no backup has none.
func verifyBackup(ctx context.Context, data string, stdout io.Writer) (problems int, err error) {
	m, found, err := stores.UnopenedBackup(data)
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
	dir := stores.BlobsDir(data)
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
