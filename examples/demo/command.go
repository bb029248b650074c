package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// quipu runs the binary with args to its end and returns what it printed.
func (d *demo) quipu(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, d.server.binary, args...)
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return text, fmt.Errorf("quipu %s: %w: %s", strings.Join(args, " "), err, text)
	}
	return text, nil
}

// hints are lines to type while everything is left running.
func (d *demo) hints() {
	for _, line := range []string{
		fmt.Sprintf("curl 'http://%s/api/executions?limit=5'", d.server.addr),
		fmt.Sprintf("curl 'http://%s/api/events?event_type=node.failed'", d.server.addr),
		fmt.Sprintf("./bin/quipu watch --server %s Support_Desk ticket_1042 --from 0", d.server.addr),
		fmt.Sprintf("./bin/quipu views verify --server %s", d.server.addr),
		fmt.Sprintf("./bin/quipu log backup --data %s --to /tmp/quipu-backup", d.server.data),
		fmt.Sprintf("curl http://%s/metrics", d.server.addr),
		fmt.Sprintf("curl http://%s/notifications", d.stub),
	} {
		d.command(line)
	}
}
