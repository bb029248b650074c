package main

import (
	"fmt"

	"quipu/bench/raw"
	"quipu/bench/report"
)

// fdatasyncs is how many are measured for a latency.
const fdatasyncs = 1000

// disk tells the raw limits that other sections are compared with.
func disk(b *bench) error {
	b.report.Add(report.Row{Section: "disk", What: "fdatasync of 4 KiB overwritten, p50", Figure: millis(b.fdata.P50), Unit: "ms"})
	b.report.Add(report.Row{Section: "disk", What: "fdatasync of 4 KiB overwritten, p99", Figure: millis(b.fdata.P99), Unit: "ms"})
	grow, err := raw.Fdatasync(b.dir, fdatasyncs/2, 4<<10, raw.Growing)
	if err != nil {
		return err
	}
	b.report.Add(report.Row{Section: "disk", What: "fdatasync of 4 KiB appended, p50", Figure: millis(grow.P50), Unit: "ms", Note: fmt.Sprintf("p99 %.2f ms", millis(grow.P99))})
	return nil
}
