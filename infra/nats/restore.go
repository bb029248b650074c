package nats

import (
	"cmp"
	"context"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// The server gives what somebody left unsettled to whoever asks next, in no particular order and after newer
// messages if these are asked for sooner. restoreRounds looks, an eighth of AckWait apart, are more than
// enough for all of it to have come.
const restoreRounds = 24

// restore hands over what others took and did not settle, together with what came meanwhile, in the order of
// the stream. It is for the moment when one receiver takes over from another.
func (s *Subscriber) restore(ctx context.Context, consumer jetstream.Consumer, handOver func(jetstream.Msg) bool) error {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	info, err := consumer.Info(call)
	cancel()
	if err != nil || info.NumAckPending == 0 {
		return err
	}
	held := map[uint64]jetstream.Msg{}
	for round, again := 0, 0; again < info.NumAckPending && round < restoreRounds && ctx.Err() == nil; round++ {
		if round > 0 {
			s.sleep(ctx, s.o.AckWait/8)
		}
		batch, err := consumer.FetchNoWait(s.o.InFlight)
		if err != nil {
			return err
		}
		for m := range batch.Messages() {
			about, err := m.Metadata()
			if err != nil {
				continue // no message of a stream: there is nothing to settle
			}
			if _, twice := held[about.Sequence.Stream]; !twice && about.NumDelivered > 1 {
				again++
			}
			held[about.Sequence.Stream] = m
		}
		if err := batch.Error(); err != nil {
			return err
		}
		for _, m := range held {
			_ = m.InProgress() // if it is not heard, the message comes once more
		}
	}
	sorted := make([]uint64, 0, len(held))
	for seq := range held {
		sorted = append(sorted, seq)
	}
	slices.SortFunc(sorted, cmp.Compare[uint64])
	for _, seq := range sorted {
		if !handOver(held[seq]) {
			_ = held[seq].Nak()
		}
	}
	return nil
}

// keepsOrder reports whether what was left by others is put in order first.
func (s *Subscriber) keepsOrder() bool { return s.o.KeepOrder && s.o.Group != "" }
