package docs_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/app/web"
	"quipu/commands"
	"quipu/commands/expression"
	"quipu/domain"
	domainrun "quipu/domain/run"
	"quipu/domain/workflow"
	"quipu/eventbus"
	"quipu/infra/embedded"
	"quipu/infra/postgres/members"
	"quipu/infra/telemetry"
	"quipu/infra/tracing"
	"quipu/projections"
	"quipu/projections/view"
	"quipu/readapi"
	"quipu/readapi/history"
	"quipu/readapi/params"

	pgblobs "quipu/infra/postgres/blobs"
)

// The table of bounds is a promise: a number changed in the code alone would make it a false one.
func TestGuarantees_BoundsEqualTheConstants(t *testing.T) {
	doc, err := os.ReadFile("guarantees.md")
	require.NoError(t, err)
	for row, want := range map[string]string{
		"events and bytes of one append":  fmt.Sprintf("%d, %d KiB", domain.AppendEventsMax, domain.AppendBytesMax>>10),
		"task starts per decision":        fmt.Sprint(domain.ReadyBatchMax),
		"parallel tasks of one run":       thousands(domain.ParallelTasksMax),
		"tasks and edges of a definition": thousands(domain.TasksMax) + ", 50,000",
		"a workflow's description":        fmt.Sprintf("%d KiB", workflow.DescriptionBytesMax>>10),
		"names":                           fmt.Sprintf("%d bytes", domain.NameBytesMax),
		"nesting of JSON":                 fmt.Sprintf("%d levels", domain.JSONDepthMax),
		"payload field inside an event":   fmt.Sprintf("%d KiB", domain.PayloadInlineBytesMax>>10),
		"attempts a definition may ask for; lost with the process":   fmt.Sprintf("%d; %d", workflow.RetryAttemptsMax, domainrun.RecoveriesMax),
		"timeout and retry delay a definition may ask for":           fmt.Sprintf("%d h each", workflow.RetryDelayMax/time.Hour),
		"the templates of one task":                                  fmt.Sprintf("%s, %d KiB of expressions, %d MiB of results; data and steps as of one expression", thousands(expression.TemplatesMax), expression.TemplateSourceBytesMax>>10, expression.TemplateBytesMax>>20),
		"a wait for a decision or a message":                         thousands(int(domain.TimerWaitMax/(24*time.Hour))) + " days, or for ever",
		"signals of a run":                                           thousands(domainrun.SignalsMax),
		"the comment on a decision; who made it":                     fmt.Sprintf("%d KiB; %d bytes", domainrun.CommentBytesMax>>10, domainrun.ApproverBytesMax),
		"what a retry takes over":                                    fmt.Sprintf("%d MiB", commands.ReusedBytesMax>>20),
		"messages of a channel that are looked through for a repeat": thousands(commands.MessageRepeatsMax),
		"a timer":                    thousands(int(domain.TimerWaitMax/(24*time.Hour))) + " days",
		"head of a request":          fmt.Sprintf("%d KiB", web.HeaderBytesMax>>10),
		"commits in the log's queue": fmt.Sprintf("two batches of %s appends or %d MiB", thousands(embedded.BatchAppendsDefault), embedded.BatchBytesDefault>>20),
		"events held per followed workflow; of all of them": fmt.Sprintf("%d, %d KiB; %d MiB", eventbus.FeedEventsMax, eventbus.FeedBytesMax>>10, eventbus.FeedsBytesMax>>20),
		"a socket's queue":                                          fmt.Sprintf("%d events", eventbus.QueueEventsDefault),
		"messages from a socket's client":                           fmt.Sprintf("%d KiB; %d a second", readapi.InboundBytesMax>>10, readapi.InboundPerSecondMax),
		"a slow reader; a silent client":                            fmt.Sprintf("1 KiB/s over 30 s; %d s", readapi.SilenceDefault/time.Second),
		"an expression":                                             fmt.Sprintf("%d KiB, %s nodes, %d MiB of data, %s steps", expression.SourceBytesMax>>10, thousands(expression.NodesMax), expression.ScopeBytesMax>>20, thousands(expression.WorkMax)),
		"endpoints kept in memory":                                  thousands(commands.EndpointsCachedMax),
		"items of a page; its items' bytes":                         fmt.Sprintf("%d; %d MiB", view.LimitMax, history.PageBytesMaxDefault>>20),
		"`offset` of a list; its total":                             thousands(view.OffsetMax) + "; " + thousands(view.TotalMax),
		"a text in a query; items of a list in one":                 fmt.Sprintf("%d bytes; %d", params.TextBytesMax, params.ListItemsMax),
		"reads by id at once; lists waiting for their view":         fmt.Sprintf("%d; %s", history.FoldsMaxDefault, thousands(history.WaitersMaxDefault)),
		"a read by id":                                              fmt.Sprintf("%d s", history.FoldTimeoutDefault/time.Second),
		"events of one commit to the views":                         fmt.Sprintf("`--views-batch-max`, %d MiB", projections.BatchBytesMax>>20),
		"unfinished executions and tasks that projecting remembers": thousands(projections.CacheRowsMax),
		"differences that a check of the views lists":               fmt.Sprint(projections.DifferencesDefault),
		"spans that wait for the collector; texts in one; traces that a commit is shown in": fmt.Sprintf("%s; %d characters; %d", thousands(tracing.QueueSpansMax), tracing.ValueBytesMax, tracing.TracesPerStepMax),
		"events whose first frame is remembered; their age":                                 fmt.Sprintf("%s; %d minute", thousands(tracing.FramesSeenMax), tracing.FrameAgeMax/time.Minute),
		"the error of a part in `/health/ready`":                                            fmt.Sprintf("%d KiB", telemetry.PartErrorBytesMax>>10),
		"nodes that share a log":                                                            fmt.Sprint(members.NodesMax),
		"a blob; its row in Postgres":                                                       fmt.Sprintf("%d MiB; %d MiB", pgblobs.BytesMaxDefault>>20, pgblobs.PartBytes>>20),
		"outputs in one execution":                                                          fmt.Sprintf("%d MiB", history.ResultsBytesMaxDefault>>20),
	} {
		require.Contains(t, string(doc), "\n| "+row+" | "+want+" | ")
	}
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
