package embedded

import (
	"context"
	"encoding/hex"
	"flag"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/domain"
	"quipu/infra/embedded/vfs"
)

var update = flag.Bool("update", false, "write the golden files of the current format version anew")

func goldenFiles() (metaFile, segmentFile []byte) {
	return smallLog(salt{0x51, 15: 0x5f}, true)
}

// smallLog is a log small enough to read: one batch of two appends, an orderly close and, if more,
// one batch.
func smallLog(s salt, more bool) (metaFile, segmentFile []byte) {
	m := meta{id: [16]byte{0x11, 15: 0x1f}, salt: s, created: 1_700_000_000_000}
	seed := m.salt.seed()
	b := encodeSegmentHeader(seed, 1, 1)
	add := func(kind byte, first domain.Position, appends ...[]domain.Pending) {
		h := frameHeader{kind: kind, first: first}
		frame := make([]byte, frameHeaderBytes)
		for i, events := range appends {
			rec, partial := newRecord(seed, domain.StreamID([]string{"run-é", "name-1"}[i]), domain.Revision(first)/3*2-1+1, events)
			sealRecord(rec, partial, first+domain.Position(h.events), 1_700_000_000_123)
			frame = append(frame, rec...)
			h.records++
			h.events += uint32(len(events))
		}
		h.payload = uint32(len(frame) - frameHeaderBytes)
		h.crc = payloadChecksum(seed, frame[frameHeaderBytes:])
		h.put(frame, seed, 1, int64(len(b)))
		b = append(b, frame...)
	}
	event := func(n byte, metadata, data string) domain.Pending {
		return domain.Pending{ID: domain.EventID{n, 15: n}, Type: "test.v1", Metadata: []byte(metadata), Data: []byte(data)}
	}
	add(frameBatch, 1, []domain.Pending{event(1, `{"m":1}`, `{"d":1}`), event(2, "", "")}, []domain.Pending{event(3, "{}", "\xff\x00")})
	add(frameClosed, 4)
	if more {
		add(frameBatch, 4, []domain.Pending{event(4, "{}", "{}")})
	}
	return m.encode(), b
}

// Logs written by version 1 exist: these bytes never change. A new version gets a folder of its own.
func TestFormat_GoldenBytes(t *testing.T) {
	metaFile, segmentFile := goldenFiles()
	for name, b := range map[string][]byte{"META.hex": metaFile, "00000001.seg.hex": segmentFile} {
		file := filepath.Join("testdata", "v1", name)
		if *update {
			require.NoError(t, os.WriteFile(file, []byte(hexLines(b)), 0o600))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(want), hexLines(b), name)
	}
}

func hexLines(b []byte) string {
	var s strings.Builder
	for len(b) > 0 {
		n := min(len(b), 32)
		s.WriteString(hex.EncodeToString(b[:n]) + "\n")
		b = b[n:]
	}
	return s.String()
}

// Whatever version this is, it opens what version 1 wrote.
func TestOpen_GoldenV1(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"META", "00000001.seg"} {
		text, err := os.ReadFile(filepath.Join("testdata", "v1", name+".hex"))
		require.NoError(t, err)
		b, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	sum, err := VerifyDir(context.Background(), dir, nil, func(p Problem) { t.Error(p) })
	require.NoError(t, err)
	require.Equal(t, Summary{Segments: 1, Batches: 2, Events: 4, Streams: 2, Head: 4, Bytes: sum.Bytes}, sum)
	l, err := Open(dir, Options{SegmentBytes: SegmentBytesMin})
	require.NoError(t, err)
	require.Equal(t, domain.LogID("11000000-0000-0000-0000-00000000001f"), l.ID())
	all, err := l.ReadAll(t.Context(), 0, 10)
	require.NoError(t, err)
	id := func(n byte) domain.EventID { return domain.EventID{n, 15: n} }
	require.Equal(t, []domain.Recorded{
		{Stream: "run-é", Revision: 0, Position: 1, ID: id(1), Type: "test.v1", Metadata: []byte(`{"m":1}`), Data: []byte(`{"d":1}`)},
		{Stream: "run-é", Revision: 1, Position: 2, ID: id(2), Type: "test.v1", Metadata: []byte{}, Data: []byte{}},
		{Stream: "name-1", Revision: 0, Position: 3, ID: id(3), Type: "test.v1", Metadata: []byte("{}"), Data: []byte("\xff\x00")},
		{Stream: "run-é", Revision: 2, Position: 4, ID: id(4), Type: "test.v1", Metadata: []byte("{}"), Data: []byte("{}")},
	}, all)
	require.NoError(t, l.Close())
}

// One orderly close in 256 ends in a zero byte; it must still tell damage from a torn tail.
func TestOpen_OrderlyCloseThatEndsInZeros(t *testing.T) {
	var metaFile, segmentFile []byte
	for i := 0; ; i++ {
		metaFile, segmentFile = smallLog(salt{byte(i), byte(i >> 8), byte(i >> 16)}, false)
		if n := len(segmentFile); segmentFile[n-1] == 0 && segmentFile[n-2] == 0 {
			break
		}
	}
	sim := vfs.NewSim()
	for name, b := range map[string][]byte{metaName: metaFile, segmentName(1): append(segmentFile, make([]byte, 1000)...)} {
		f, err := sim.Create("data/" + name)
		require.NoError(t, err)
		_, err = f.WriteAt(b, 0)
		require.NoError(t, err)
	}
	sim.Bytes("data/" + segmentName(1))[segmentHeaderBytes+frameHeaderBytes+50] ^= 1
	_, err := Open("data", Options{FS: sim, SegmentBytes: SegmentBytesMin})
	require.ErrorIs(t, err, domain.ErrCorrupt)
	sum, err := VerifyDir(t.Context(), "data", sim, func(p Problem) { require.True(t, p.Damage) })
	require.NoError(t, err)
	require.NotZero(t, sum.Problems)
}

func TestRecord_RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint32().Draw(t, "seed")
		stream := domain.StreamID(rapid.StringN(1, 20, 100).Draw(t, "stream"))
		events := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) domain.Pending {
			return domain.Pending{
				ID: domain.EventID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")), Type: rapid.StringN(1, 20, 128).Draw(t, "type"),
				Metadata: rapid.SliceOf(rapid.Byte()).Draw(t, "metadata"), Data: rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
			}
		}), 1, 5).Draw(t, "events")
		b, partial := newRecord(seed, stream, 7, events)
		sealRecord(b, partial, 9, 11)
		r, ok := decodeRecord(b)
		require.True(t, ok)
		require.True(t, recordChecksumOK(b, r.bytes, seed))
		require.False(t, recordChecksumOK(b, r.bytes, seed+1), "another log's salt")
		require.Equal(t, int64(11), r.at)
		got, ok := appendRecorded(nil, &r, stream, 0, &typeNames{known: map[string]string{}})
		require.True(t, ok)
		require.Len(t, got, len(events))
		for i, e := range events {
			require.Equal(t, domain.Recorded{Stream: stream, Revision: 7 + domain.Revision(i), Position: 9 + domain.Position(i), ID: e.ID, Type: e.Type,
				Metadata: append([]byte{}, e.Metadata...), Data: append([]byte{}, e.Data...)}, got[i])
		}
		// Any flipped bit is noticed.
		i := rapid.IntRange(0, len(b)*8-1).Draw(t, "bit")
		b[i/8] ^= 1 << (i % 8)
		if r, ok := decodeRecord(b); ok {
			require.False(t, recordChecksumOK(b, r.bytes, seed))
		}
	})
}

// Stored bytes can be anything; decoding says so and never panics.
func FuzzDecode(f *testing.F) {
	metaFile, segmentFile := goldenFiles()
	f.Add(metaFile)
	f.Add(segmentFile[segmentHeaderBytes:])
	small := sidecar{number: 1, first: 1, next: 3, marks: []mark{{1, 64}}, streams: []*sidecarStream{{id: "run-1", last: "t", head: 1, appends: []place{{0, 1, 104}}}}}
	f.Add(small.encode(1))
	f.Add(segmentFile[segmentHeaderBytes+frameHeaderBytes:])
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = decodeMeta(b)
		// Checksums made right, so that what is behind them is looked at.
		if c := slices.Clone(b); len(c) >= sidecarHeaderBytes {
			copy(c, sidecarMagic)
			le.PutUint32(c[8:], formatVersion)
			le.PutUint32(c[60:], le.Uint32(c[60:])%64)
			le.PutUint32(c[64:], le.Uint32(c[64:])%64)
			le.PutUint32(c[72:], crc32.Update(1, castagnoli, c[sidecarHeaderBytes:]))
			le.PutUint32(c[76:], crc32.Update(1, castagnoli, c[:76]))
			_, _ = decodeSidecar(1, c)
		}
		_, _ = decodeSegmentHeader(1, 1, b)
		h, ok := decodeFrameHeader(b, 1, 1, 64)
		if ok && len(b) > frameHeaderBytes {
			_ = checkBatch(&h, b[frameHeaderBytes:], h.first)
		}
		_ = checkBatch(&frameHeader{kind: frameBatch}, b, 0)
		if r, ok := decodeRecord(b); ok {
			_ = recordChecksumOK(b, r.bytes, 1)
			_, _ = appendRecorded(nil, &r, "s", 0, &typeNames{known: map[string]string{}})
		}
	})
}
