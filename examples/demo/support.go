package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Secrets that the support pipeline holds in clear.
var demoSecrets = []string{"sk-demo-model-key-1", "crm-demo-key-204"}

// showSupport runs the pipeline that completes: parallel branches, a retry, a branch not taken.
func (d *demo) showSupport(ctx context.Context) (err error) {
	d.scene("A support pipeline, live: two agents, a CRM that is busy once, a survey nobody needs")
	if d.support, err = d.pipeline(ctx, "support.json", "Support_Desk", "ticket_1042"); err != nil {
		return err
	}
	t := d.support
	retry, retried := t.find("task_retry_scheduled", "open_ticket")
	_, skipped := t.find("task_skipped", "send_survey")
	_, paged := t.find("task_completed", "page_engineer")
	_, completed := t.find("flow_completed", "")
	for _, err := range []error{
		expect(retried && retry.Error.Code == "HTTP_503", "the CRM's 503 shows as a retry"),
		expect(skipped, "the branch whose condition does not hold is skipped"),
		expect(paged, "the branch whose condition holds is taken"),
		expect(completed, "the pipeline completes"),
	} {
		if err != nil {
			return err
		}
	}
	d.ok("the CRM answered 503 once; the second attempt carried the same idempotency key")
	d.ok("send_survey was skipped, page_engineer was not: conditions on edges")
	for _, f := range t.frames {
		if err := expect(!showsSecret(f.raw), "frame %d shows no secret", *f.Offset); err != nil {
			return err
		}
	}
	if err := noSecrets(d.server.data); err != nil {
		return err
	}
	d.ok("the keys reached the model and the CRM; no frame and no file of the data folder holds them in clear")
	return nil
}

func showsSecret(b []byte) bool {
	for _, secret := range demoSecrets {
		if bytes.Contains(b, []byte(secret)) {
			return true
		}
	}
	return false
}

// noSecrets looks for the secrets in every file of a folder.
func noSecrets(folder string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !entry.Type().IsRegular() {
			return nil // files of the views come and go
		}
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return expect(!showsSecret(b), "%s holds no secret in clear", path)
	})
}

// showQuality runs the pipeline whose validation fails.
func (d *demo) showQuality(ctx context.Context) (err error) {
	d.scene("A data pipeline whose validation fails")
	if d.quality, err = d.pipeline(ctx, "data-quality.json", "Sales_Batch", "day_2026-11-21"); err != nil {
		return err
	}
	failed, ok := d.quality.find("task_failed", "validate")
	if err := expect(ok && failed.Error.Code == "HTTP_422", "validate fails with the validator's 422"); err != nil {
		return err
	}
	if err := expect(d.quality.frames[d.quality.head].EventType == "flow_error", "the run ends with flow_error"); err != nil {
		return err
	}
	if _, loaded := d.quality.find("task_started", "load"); loaded {
		return expect(false, "load never starts")
	}
	d.line("   %s", d.paint(red, "validator: "+clip(string(body(failed.Error.Details)), 160)))
	d.ok("task_failed says why, flow_error ends the run, load and announce never started")
	return nil
}
