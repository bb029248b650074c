package relay_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"quipu/domain"
	"quipu/domain/wire"
	"quipu/eventbus/relay"
)

// some makes events of a stream, each of about 400 bytes of data.
func some(stream domain.StreamID, from, to int) []domain.Pending {
	head := wire.NewHead()
	head.Revision = domain.Revision(from) - 1
	out := make([]domain.Pending, 0, to-from)
	for n := from; n < to; n++ {
		var p domain.Pending
		p, head = wire.Seal(stream, head, time.Unix(1_790_000_000, 0), wire.Cause{CommandID: "c", CorrelationID: "x"},
			"run.task_started.v1", fmt.Appendf(nil, `{"n":%d,"text":"%s"}`, n, strings.Repeat("quipu ", 64)))
		out = append(out, p)
	}
	return out
}

func contextOf(b *testing.B) (context.Context, context.CancelFunc) {
	return context.WithCancel(b.Context())
}

func runRelay(ctx context.Context, r *relay.Relay) <-chan error {
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return done
}
