package domain_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/domain"
)

// The vectors were computed apart from this code (see docs/events.md for the first, byte by byte).
// They pin the hash for ever: clients check chains with it.
func TestHashEvent_GoldenVectors(t *testing.T) {
	for _, c := range []struct {
		stream   domain.StreamID
		revision domain.Revision
		typ      string
		metadata string
		hash, id string
	}{
		{"run-1", 0, "run.started.v1", `{}`, "fe10ce55858f112f96b122d441d1a88d96ce63d3ee96cdc4d7b0a9e579016f27", "fe10ce55-858f-812f-96b1-22d441d1a88d"},
		{"name-\u00e9/\U0001F600", 1<<40 + 5, "name.bound.v1", strings.Repeat("m", 3000), "24be3c20d264479d7ae31b3d017dbcd27a773d344498f61f83788aa2669f12c5", "24be3c20-d264-879d-bae3-1b3d017dbcd2"},
		{"run-018f", 7, "run.task_started.v1", `{"at":"2026-01-02T03:04:05.678Z"}`, "0779c6539c402a90ef097ca9786b3085e67793c00a06264a2483d6c9d7afb196", "0779c653-9c40-8a90-af09-7ca9786b3085"},
	} {
		got := domain.HashEvent(c.stream, c.revision, c.typ, []byte(c.metadata))
		require.Equal(t, c.hash, got.String(), c.stream)
		require.Equal(t, c.id, domain.UUIDv8(got).String(), c.stream)
		r := domain.Recorded{Stream: c.stream, Revision: c.revision, Type: c.typ, Metadata: []byte(c.metadata), Position: 9, Data: []byte("x")}
		require.Equal(t, got, r.Hash())
	}
}

// slowHash is the rule of design §5 in the plainest form, without any code of the package.
func slowHash(stream string, revision uint64, typ, metadata string) string {
	var b []byte
	field := func(f string) {
		n := len(f)
		b = append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		b = append(b, f...)
	}
	field("quipu1")
	field(stream)
	var rev []byte
	for shift := 56; shift >= 0; shift -= 8 {
		rev = append(rev, byte(revision>>shift))
	}
	field(string(rev))
	field(typ)
	field(metadata)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestHashEvent_IsTheStatedRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream := rapid.StringN(0, -1, 600).Draw(t, "stream")
		revision := rapid.Int64Min(0).Draw(t, "revision")
		typ := rapid.StringN(0, -1, 200).Draw(t, "type")
		metadata := strings.Repeat(rapid.String().Draw(t, "metadata"), rapid.IntRange(0, 40).Draw(t, "times"))
		got := domain.HashEvent(domain.StreamID(stream), domain.Revision(revision), typ, []byte(metadata))
		if want := slowHash(stream, uint64(revision), typ, metadata); got.String() != want {
			t.Fatalf("got %s, want %s", got, want)
		}
		id := domain.UUIDv8(got)
		s := id.String()
		if len(s) != 36 || s[14] != '8' || !strings.ContainsRune("89ab", rune(s[19])) ||
			s[:8] != got.String()[:8] || s[24:] != got.String()[20:32] {
			t.Fatalf("%s is not the UUIDv8 of %s", s, got)
		}
	})
}

// The fields are framed: moving a byte from one to the next gives another hash.
func TestHashEvent_FieldsDoNotRunTogether(t *testing.T) {
	seen := map[domain.Hash]string{}
	for _, f := range [][3]string{{"ab", "c", "d"}, {"a", "bc", "d"}, {"a", "b", "cd"}, {"abc", "", "d"}, {"abcd", "", ""}, {"", "", "abcd"}} {
		h := domain.HashEvent(domain.StreamID(f[0]), 1, f[1], []byte(f[2]))
		require.Empty(t, seen[h])
		seen[h] = f[0]
	}
}

// Hashing is on the path of every event.
func TestHashEvent_DoesNotAllocateForUsualSizes(t *testing.T) {
	metadata := []byte(strings.Repeat("m", 480))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_ = domain.HashEvent("run-018f6b1e-0000-7000-8000-000000000000", 5, "run.task_started.v1", metadata)
	}))
}

func pending(n, size int) []domain.Pending {
	out := make([]domain.Pending, n)
	for i := range out {
		out[i] = domain.Pending{ID: domain.EventID{1}, Type: "t", Data: make([]byte, size)}
	}
	return out
}

func TestCheckAppend_Bounds(t *testing.T) {
	require.NoError(t, domain.CheckAppend("s", domain.NoStream, pending(1, 0)))
	require.NoError(t, domain.CheckAppend("s", 0, pending(domain.AppendEventsMax, 0)))
	most := domain.AppendBytesMax - 64 - 2
	require.NoError(t, domain.CheckAppend("s", 0, pending(1, most)))
	require.Equal(t, domain.AppendBytesMax, domain.AppendBytes(pending(1, most)))
	noID, noType, longType := pending(1, 0), pending(1, 0), pending(1, 0)
	noID[0].ID = domain.EventID{}
	noType[0].Type = ""
	longType[0].Type = strings.Repeat("t", domain.EventTypeBytesMax+1)
	for name, c := range map[string]struct {
		stream   domain.StreamID
		expected domain.Revision
		events   []domain.Pending
	}{
		"no stream":       {"", 0, pending(1, 0)},
		"long stream":     {domain.StreamID(strings.Repeat("s", domain.StreamIDBytesMax+1)), 0, pending(1, 0)},
		"control":         {"a\nb", 0, pending(1, 0)},
		"not UTF-8":       {"a\xff", 0, pending(1, 0)},
		"revision":        {"s", -2, pending(1, 0)},
		"no event":        {"s", 0, nil},
		"too many":        {"s", 0, pending(domain.AppendEventsMax+1, 0)},
		"too many bytes":  {"s", 0, pending(1, most+1)},
		"no id":           {"s", 0, noID},
		"no type":         {"s", 0, noType},
		"too long a type": {"s", 0, longType},
	} {
		require.ErrorIs(t, domain.CheckAppend(c.stream, c.expected, c.events), domain.ErrInvalid, name)
	}
}

func TestCursor_RoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := domain.LogID(rapid.StringN(1, -1, 60).Draw(t, "log"))
		p := domain.Position(rapid.Uint64().Draw(t, "position"))
		gotLog, gotP, err := domain.ParseCursor(p.Cursor(log))
		if err != nil || gotLog != log || gotP != p {
			t.Fatalf("%q %d: got %q %d, %v", log, p, gotLog, gotP, err)
		}
	})
	for _, s := range []string{"", "-", "log", "log-1", "-0000000000000001", "log-000000000000000g", "log-+000000000000001", "log-00000000000000001", "log-0x00000000000001"} {
		_, _, err := domain.ParseCursor(s)
		require.ErrorIs(t, err, domain.ErrInvalid, s)
	}
}

func TestInstant_RoundsDownToMilliseconds(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_999_999, time.FixedZone("x", 3600))
	require.Equal(t, time.Date(2026, 1, 2, 2, 4, 5, 678_000_000, time.UTC), domain.Instant(at))
	require.Equal(t, "2026-01-02T02:04:05.678Z", domain.Instant(at).Format(domain.TimeLayout))
	now := domain.Instant(time.Now())
	require.Equal(t, now.Round(0), now, "no monotonic reading is kept")
}
