package kurrentport_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/infra/kurrentport/porttest"
)

// Single-event appends by 64 appenders, each to a stream of its own: on the log itself, and over the
// port by 4 connections. Both share this machine with their clients.
func BenchmarkAppend_64(b *testing.B) {
	const appenders, connections = 64, 4
	data := make([]byte, 300)
	run := func(b *testing.B, append func(worker, i int) error) {
		var next atomic.Int64
		b.SetParallelism(1)
		b.ResetTimer()
		done := make(chan error, appenders)
		for w := range appenders {
			go func() {
				for i := 0; ; i++ {
					if next.Add(1) > int64(b.N) {
						done <- nil
						return
					}
					if err := append(w, i); err != nil {
						done <- err
						return
					}
				}
			}()
		}
		for range appenders {
			require.NoError(b, <-done)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
	}
	b.Run("log", func(b *testing.B) {
		var log commands.Log = openLog(b, b.TempDir())
		run(b, func(w, i int) error {
			e := []domain.Pending{{ID: domain.EventID(uuid.New()), Type: "made", Data: data}}
			_, err := log.Append(b.Context(), domain.StreamID(fmt.Sprintf("run-%d", w)), domain.Revision(i-1), e)
			return err
		})
	})
	b.Run("port", func(b *testing.B) {
		p := porttest.Start(b, openLog(b, b.TempDir()))
		var clients []appender
		for range connections {
			clients = append(clients, single(streams.NewStreamsClient(dial(b, p))))
		}
		run(b, func(w, i int) error {
			var expected any = noStream{}
			if i > 0 {
				expected = i - 1
			}
			_, err := clients[w%connections](b.Context(), fmt.Sprintf("quipu.run-%d", w), expected, uuid.New())
			return err
		})
	})
	b.Run("batch", func(b *testing.B) {
		p := porttest.Start(b, openLog(b, b.TempDir()))
		call, err := raw(b, p).BatchAppend(b.Context())
		require.NoError(b, err)
		// One call for all: each stream's next append is sent when the one before is answered.
		next, done := make([]uint64, appenders), 0
		send := func(w int) {
			id := stringID(uuid.New())
			o := &streams.BatchAppendReq_Options{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(fmt.Sprintf("quipu.run-%d", w))}}
			if o.ExpectedStreamPosition = (&streams.BatchAppendReq_Options_NoStream{}); next[w] > 0 {
				o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: next[w] - 1}
			}
			require.NoError(b, call.Send(&streams.BatchAppendReq{
				CorrelationId: id, Options: o, IsFinal: true,
				ProposedMessages: []*streams.BatchAppendReq_ProposedMessage{{Id: id, Metadata: metadataOf(), Data: data}},
			}))
		}
		for w := range appenders {
			send(w)
		}
		b.ResetTimer()
		for ; done < b.N; done++ {
			m, err := call.Recv()
			require.NoError(b, err)
			require.Nil(b, m.GetError())
			var w int
			_, err = fmt.Sscanf(string(m.GetStreamIdentifier().GetStreamName()), "quipu.run-%d", &w)
			require.NoError(b, err)
			next[w]++
			send(w)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
	})
}
