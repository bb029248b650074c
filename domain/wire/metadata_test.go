package wire_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/domain"
	"quipu/domain/wire"
)

var cause = wire.Cause{
	Actor:     wire.Actor{Kind: wire.ActorKey, ID: "k-\"1\"", Via: "run-dag"},
	CommandID: "c1", CorrelationID: "r1", CausationID: "e1", Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}

// plainHash is the rule of design §5 written apart from the code under test.
func plainHash(stream string, revision byte, typ string, metadata []byte) []byte {
	b := []byte("\x00\x00\x00\x06quipu1")
	b = append(b, 0, 0, 0, byte(len(stream)))
	b = append(b, stream...)
	b = append(b, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, revision)
	b = append(b, 0, 0, 0, byte(len(typ)))
	b = append(b, typ...)
	b = append(b, 0, 0, byte(len(metadata)>>8), byte(len(metadata)))
	b = append(b, metadata...)
	sum := sha256.Sum256(b)
	return sum[:]
}

// The keys, their order and their form are what others parse and what the hash covers.
func TestSeal_MetadataIsExact(t *testing.T) {
	data := []byte(`{"run_id":"r1"}`)
	sum := sha256.Sum256(data)
	first, head := wire.Seal("run-r1", wire.NewHead(), at(0), cause, "run.started.v1", data)
	require.Equal(t, `{"at":"2026-01-02T03:04:05.678Z","actor":{"kind":"key","id":"k-\"1\"","via":"run-dag"},`+
		`"command_id":"c1","$correlationId":"r1","$causationId":"e1",`+
		`"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","data_sha256":"`+hex.EncodeToString(sum[:])+`"}`,
		string(first.Metadata), "no prev at revision 0")
	require.Equal(t, "run.started.v1", first.Type)
	require.Equal(t, data, first.Data)

	h0 := plainHash("run-r1", 0, "run.started.v1", first.Metadata)
	require.Equal(t, wire.Head{Revision: 0, Hash: domain.Hash(h0), At: at(0)}, head)
	require.Equal(t, h0[:6], first.ID[:6])
	require.Equal(t, byte(0x80), first.ID[6]&0xf0)
	require.Equal(t, byte(0x80), first.ID[8]&0xc0)

	least := wire.Cause{Actor: wire.Actor{Kind: wire.ActorAnonymous}}
	second, head2 := wire.Seal("run-r1", head, at(7), least, "run.task_skipped.v1", []byte(`{}`))
	require.Equal(t, `{"at":"2026-01-02T03:04:05.685Z","actor":{"kind":"anonymous","id":"","via":""},"command_id":"","$correlationId":"",`+
		`"prev":"`+hex.EncodeToString(h0)+`","data_sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}`,
		string(second.Metadata))
	require.Equal(t, plainHash("run-r1", 1, "run.task_skipped.v1", second.Metadata), head2.Hash[:])
}

// A chain of three, golden: hashes and ids are promises to every reader and to every other log.
func TestSeal_GoldenChain(t *testing.T) {
	var out []byte
	head := wire.NewHead()
	for i, s := range []sample{samples()[0], samples()[3], samples()[17]} {
		typ, data := wire.EncodeRun(s.event)
		var p domain.Pending
		p, head = wire.Seal("run-0190a0b0-0000-7000-8000-000000000001", head, at(i), cause, typ, data)
		out = fmt.Appendf(out, "%d %s\n  id       %s\n  hash     %s\n  metadata %s\n", i, typ, p.ID, head.Hash, p.Metadata)
	}
	golden(t, "chain.golden.txt", out)
}

func TestDecodeMetadata_RoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		c := wire.Cause{
			Actor:     wire.Actor{Kind: text.Draw(t, "kind"), ID: text.Draw(t, "id"), Via: text.Draw(t, "via")},
			CommandID: text.Draw(t, "command"), CorrelationID: text.Draw(t, "correlation"),
			CausationID: text.Draw(t, "causation"), Traceparent: text.Draw(t, "trace"),
		}
		when := at(rapid.IntRange(-1e12, 1e12).Draw(t, "ms"))
		head := wire.Head{Revision: domain.Revision(rapid.IntRange(-1, 5).Draw(t, "revision")), Hash: domain.Hash{1, 2, 3}}
		p, _ := wire.Seal("s", head, when, c, "t", []byte("x"))
		m, err := wire.DecodeMetadata(p.Metadata)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte("x"))
		want := wire.Metadata{
			At: when, Actor: c.Actor, CommandID: c.CommandID, CorrelationID: c.CorrelationID,
			CausationID: c.CausationID, Traceparent: c.Traceparent, DataSHA256: hex.EncodeToString(sum[:]),
		}
		if head.Revision >= 0 {
			want.Prev = head.Hash.String()
		}
		if m != want {
			t.Fatalf("got %+v, want %+v", m, want)
		}
		fast, err := wire.DecodeAt(p.Metadata)
		if err != nil || fast != when {
			t.Fatalf("DecodeAt gives %s, %v", fast, err)
		}
	})
}

// The short way and the long way must never disagree about what is readable.
func TestDecodeAt_FastPathEqualsSlowPath(t *testing.T) {
	for _, m := range []string{
		`{"at":"2026-01-02T03:04:05.678Z"}`, `{"at":"2026-01-02T03:04:05.678Z","x":1}`, `{ "at":"2026-01-02T03:04:05.678Z"}`,
		`{"x":1,"at":"2026-01-02T03:04:05.678Z"}`, `{"at":"2026-01-02T03:04:05.678Zoops"}`, `{"at":"2026-01-02T03:04:05Z"}`,
		`{"at":"2026-13-02T03:04:05.678Z"}`, `{"at":"2026-01-02T03:04:05.678+"}`, `{"at":"`, `{}`, ``, `{"at":5}`,
		`{"at":"2026-01-02T03:04:05,678Z"}`, `{"at":"2026-01-02T03:04:05.678Z"`,
	} {
		slow, slowErr := wire.DecodeMetadata([]byte(m))
		fast, err := wire.DecodeAt([]byte(m))
		if slowErr != nil && err == nil {
			require.Equal(t, `{"at":"2026-01-02T03:04:05.678Z"`, m, "only the rest of the object may go unread")
			continue
		}
		require.Equal(t, slowErr == nil, err == nil, m)
		require.Equal(t, slow.At, fast, m)
		if err != nil {
			require.ErrorIs(t, err, domain.ErrCorrupt, m)
		}
	}
}

func TestHead_InstantNeverGoesBack(t *testing.T) {
	h := wire.Head{At: at(10)}
	require.Equal(t, at(10), h.Instant(at(9)))
	require.Equal(t, at(11), h.Instant(at(11).Add(999*time.Microsecond).In(time.FixedZone("x", 7200))))
	require.Equal(t, at(9), wire.NewHead().Instant(at(9)))
}
