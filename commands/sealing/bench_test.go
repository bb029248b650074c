package sealing_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"quipu/commands/sealing"
)

func benchmarkSeal(b *testing.B, known int) {
	ctx := context.Background()
	s := newSession()
	for i := range known {
		if _, _, err := s.Seal(ctx, fmt.Appendf(nil, `{"token":"sk-proj-%08d-abcdefghijklmnop"}`, i), sealing.Options{}); err != nil {
			b.Fatal(err)
		}
	}
	var doc bytes.Buffer
	doc.WriteString(`{"rows":[`)
	for i := range 64 {
		if i > 0 {
			doc.WriteByte(',')
		}
		fmt.Fprintf(&doc, `{"id":%d,"title":"Some row of a result","body":"A sentence that an agent wrote about nothing at all, over %d words."}`, i, i)
	}
	doc.WriteString(`]}`)
	b.SetBytes(int64(doc.Len()))
	b.ReportAllocs()
	for b.Loop() {
		v, secrets, err := s.Seal(ctx, doc.Bytes(), sealing.Options{})
		if err != nil || secrets != nil || v.Holes != nil {
			b.Fatal("wrong")
		}
	}
}

func BenchmarkSeal_8KiBNothingKnown(b *testing.B)   { benchmarkSeal(b, 0) }
func BenchmarkSeal_8KiB10SecretsKnown(b *testing.B) { benchmarkSeal(b, 10) }
