package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// showCrash kills the server while a task waits for an answer, and goes on where the client was.
func (d *demo) showCrash(ctx context.Context) error {
	d.scene("kill -9 in the middle of a run")
	const flow, run = "Night_Round", "night_1"
	body, err := d.example("night.json")
	if err != nil {
		return err
	}
	socket, err := dial(ctx, d.server.addr, flow, run, "")
	if err != nil {
		return err
	}
	defer socket.close()
	begun, err := d.api.runDAG(ctx, body)
	if err != nil {
		return err
	}
	d.frameHead()
	t := newTrace()
	inFlight := func(f frame) bool { return f.EventType == "tool_started" && f.TaskName == "slow_message" }
	if err := d.follow(socket, t, inFlight); err != nil {
		return err
	}
	if err := d.awaitNotification(ctx, "slow_message", 1); err != nil {
		return err
	}
	d.server.kill()
	d.line("   %s", d.paint(red, "killed with signal 9 while the notification service was answering"))
	if _, err := socket.next(); err == nil {
		return expect(false, "the socket of a killed server ends")
	}
	took, err := d.server.start(ctx)
	if err != nil {
		return err
	}
	d.line("   started again, ready after %d ms; the client comes back with the last offset it has:", took.Milliseconds())
	d.command(fmt.Sprintf("./bin/quipu watch --server %s %s %s --from %d", d.server.addr, flow, run, t.head+1))
	again, err := dial(ctx, d.server.addr, flow, run, fmt.Sprintf("execution_id=%s&after=%d", begun.TaskID, t.head))
	if err != nil {
		return err
	}
	defer again.close()
	if err := d.follow(again, t, frame.ends); err != nil {
		return err
	}
	recovered, ok := t.find("task_attempt_started", "slow_message")
	if err := expect(ok && recovered.Reason == "recovered", "the task that was in flight is attempted again"); err != nil {
		return err
	}
	if _, ok := t.find("flow_completed", ""); !ok {
		return expect(false, "the run completes after the kill")
	}
	d.ok("offsets 0 to %d on two connections, no gap and no duplicate; the run completed", t.head)
	if err := d.awaitNotification(ctx, "slow_message", 2); err != nil {
		return err
	}
	d.ok("the notification was asked for twice under one idempotency key and delivered once")
	return nil
}

// awaitNotification waits until the stub was asked requests times for a task's notification, and
// checks that it was delivered once.
func (d *demo) awaitNotification(ctx context.Context, task string, requests int) error {
	ctx, cancel := context.WithTimeout(ctx, frameLimit)
	defer cancel()
	outside := newAPI(d.stub)
	var last string
	err := until(ctx, func() bool {
		var list struct{ Notifications []json.RawMessage }
		if outside.call(ctx, http.MethodGet, "/notifications", nil, http.StatusOK, &list) != nil {
			return false
		}
		delivered, asked := 0, 0
		for _, raw := range list.Notifications {
			var n struct {
				Key      string `json:"idempotency_key"`
				Requests int
			}
			_ = json.Unmarshal(raw, &n)
			if strings.Contains(n.Key, "/"+task+"/") {
				delivered, asked = delivered+1, asked+n.Requests
			}
		}
		last = fmt.Sprintf("%d delivered, %d asked for", delivered, asked)
		return delivered == 1 && asked == requests
	})
	if err != nil {
		return expect(false, "notification of %s: %s instead of 1 and %d within %s", task, last, requests, frameLimit.Round(time.Second))
	}
	return nil
}
