package wire_test

import (
	"fmt"
	"testing"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// Every event is decoded by projections, by open sockets and by recovery: one benchmark for each
// golden file that stands for its type.
func BenchmarkDecodeRun(b *testing.B) {
	for _, s := range samples() {
		typ, data := wire.EncodeRun(s.event)
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := wire.DecodeRun(typ, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a large payload costs beside the rest: it is looked at once and not copied.
func BenchmarkDecodeRun_Payload60KiB(b *testing.B) {
	typ, data := wire.EncodeRun(largeCompleted())
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := wire.DecodeRun(typ, data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeWorkflow(b *testing.B) {
	for _, s := range workflowSamples() {
		typ, data := wire.EncodeWorkflow(s.event)
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := wire.DecodeWorkflow(typ, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeDefinition(b *testing.B) {
	v := wire.Definition(definition())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.DecodeDefinition(v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeMetadata(b *testing.B) {
	metadata := sealedMetadata()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.DecodeMetadata(metadata); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeAt(b *testing.B) {
	metadata := sealedMetadata()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.DecodeAt(metadata); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeNameBound(b *testing.B) {
	typ, data := wire.EncodeNameBound(bound)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.DecodeNameBound(typ, data); err != nil {
			b.Fatal(err)
		}
	}
}

// largeCompleted has an output of 60 KiB, the most but a little that stands in an event.
func largeCompleted() run.TaskCompleted {
	var rows domain.Array
	for i := range 500 {
		rows.Add(raw(fmt.Sprintf(`{"id":%d,"name":"customer %d","note":"a line of text with \"quotes\" and é","tags":["a","b"],"ok":true}`, i, i)))
	}
	return run.TaskCompleted{Task: "rows", TaskID: "6f2d1c9a-0000-8000-8000-0123456789ab", Attempt: 1, StartedAt: at(0), Output: rows.Value()}
}
