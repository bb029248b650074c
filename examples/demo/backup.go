package main

import (
	"context"
	"path/filepath"
	"strings"
)

// showBackup copies the data of the running server and checks the copy.
func (d *demo) showBackup(ctx context.Context) error {
	d.scene("A backup, while the server runs")
	to := filepath.Join(filepath.Dir(d.server.data), "backup")
	d.command("./bin/quipu log backup --to /tmp/quipu-backup && ./bin/quipu log verify --data /tmp/quipu-backup")
	for _, args := range [][]string{
		{"log", "backup", "--data", d.server.data, "--to", to},
		{"log", "verify", "--data", to},
	} {
		out, err := d.quipu(ctx, args...)
		if err != nil {
			return err
		}
		for line := range strings.Lines(strings.ReplaceAll(out, to, "/tmp/quipu-backup")) {
			d.line("   %s", clip(line, 150))
		}
	}
	if err := noSecrets(to); err != nil {
		return err
	}
	d.ok("every event's hash in the copy is right, and no secret is in it in clear")
	return nil
}
