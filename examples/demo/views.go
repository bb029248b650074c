package main

import (
	"context"
	"strings"
)

// showViews checks the tables that the lists come from against the log, and builds them anew, while
// the server runs.
func (d *demo) showViews(ctx context.Context) error {
	d.scene("The views behind the lists: checked against the log, built anew")
	for _, what := range []string{"verify", "rebuild"} {
		args := []string{"views", what, "--server", d.server.addr}
		d.command("./bin/quipu " + strings.Join(args, " "))
		out, err := d.quipu(ctx, args...)
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			d.line("   %s", clip(line, 300))
		}
		if err := expect(strings.Contains(out, " 0 differences"), "the views equal the log: %s", out); err != nil {
			return err
		}
	}
	runs, err := d.freshRuns(ctx)
	if err != nil {
		return err
	}
	if err := expect(len(runs.Items) == 6, "the list has the 6 runs as before, not %d", len(runs.Items)); err != nil {
		return err
	}
	d.ok("views are derived: they equal the fold of the log, and readers noticed nothing of the new ones")
	return nil
}
