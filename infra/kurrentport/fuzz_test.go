package kurrentport

import (
	"math"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/protobuf/proto"

	"quipu/domain"
)

// Whatever name a client sends: it means one stream of the log or none, that stream has this name and
// no other, and users never reach Quipu's own.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"", "orders-1", "quipu.run-1", "quipu.", "quipu.ext-a", "ext-a", "$all", "$$a", "a\x00", "\xff", "quipu.quipu.x", "quipu"} {
		f.Add([]byte(s))
	}
	n := names{PrefixDefault}
	f.Fuzz(func(t *testing.T, wire []byte) {
		id, whose, err := n.stream(wire)
		if err != nil || id == "" {
			if whose != meta && whose != system && whose != hidden && err == nil {
				t.Fatalf("%q is no stream, and no reason is given", wire)
			}
			return
		}
		if err := id.Check(); err != nil {
			t.Fatalf("%q became %q: %v", wire, id, err)
		}
		if id.External() != (whose == external) {
			t.Fatalf("%q became %q, which is not whose it is said to be", wire, id)
		}
		if back := n.wire(id); back != string(wire) {
			t.Fatalf("%q became %q, which is shown as %q", wire, id, back)
		}
	})
}

// Whatever filter a client sends is refused or decides about every event, and what the log is asked
// for never leaves out an event that passes.
func FuzzFilter(f *testing.F) {
	for _, regex := range []string{"", "^a", "(", "a{1000}{1000}", "[^"} {
		f.Add(regex, "orders", "quipu.run", uint32(32), uint32(1), true, "orders-1", "made")
		f.Add(regex, "", "", uint32(0), uint32(0), false, "", "")
	}
	n := names{PrefixDefault}
	f.Fuzz(func(t *testing.T, regex, prefix, second string, window, multiplier uint32, byType bool, stream, typ string) {
		e := &streams.ReadReq_Options_FilterOptions_Expression{Regex: regex}
		for _, p := range []string{prefix, second} {
			if p != "" {
				e.Prefix = append(e.Prefix, p)
			}
		}
		o := &streams.ReadReq_Options_FilterOptions{
			Filter:                       &streams.ReadReq_Options_FilterOptions_StreamIdentifier{StreamIdentifier: e},
			Window:                       &streams.ReadReq_Options_FilterOptions_Max{Max: window},
			CheckpointIntervalMultiplier: multiplier,
		}
		if byType {
			o.Filter = &streams.ReadReq_Options_FilterOptions_EventType{EventType: e}
		}
		got, err := parseFilter(&streams.ReadReq_Options{
			FilterOption: &streams.ReadReq_Options_Filter{Filter: o},
			CountOption:  &streams.ReadReq_Options_Subscription{},
		})
		if err != nil {
			return
		}
		if got.every == 0 {
			t.Fatal("a subscription without checkpoints")
		}
		id, _, err := n.stream([]byte(stream))
		if err != nil || id == "" {
			return
		}
		recorded := &domain.Recorded{Stream: id, Type: typ}
		if p := got.logPrefix(n); got.matches(recorded, n) && len(p) > 0 && (len(id) < len(p) || string(id[:len(p)]) != p) {
			t.Fatalf("%q passes, and the log is asked for %q only", id, p)
		}
	})
}

// Whatever stands in the metadata of a stored event, a client gets a created date that it can parse:
// the official one ends its process over any other.
func FuzzStored(f *testing.F) {
	f.Add("ext-a", []byte{}, true, int64(0))
	f.Add("ext-a", []byte{1, 1, 0, 0, 0, 0, 0, 0, 0, 0}, false, int64(math.MaxInt64))
	f.Add("run-1", []byte(`{"at":"2026-11-22T10:00:00.000Z"}`), true, int64(1))
	f.Add("run-1", []byte(`{"at":"9999-99-99T10:00:00.000Z"}`), true, int64(-1))
	f.Fuzz(func(t *testing.T, stream string, metadata []byte, json bool, created int64) {
		e := &domain.Recorded{Stream: domain.StreamID(stream), Metadata: metadata}
		b, err := proto.Marshal(encoder{names: names{PrefixDefault}}.response(e))
		if err != nil {
			t.Fatal(err)
		}
		var back streams.ReadResp
		if err := proto.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		p := proposed{json: json, custom: metadata}
		gotJSON, gotCreated, custom := unseal(&domain.Recorded{Stream: "ext-a", Metadata: seal(&p, created)})
		if gotJSON != json || gotCreated != created || string(custom) != string(metadata) {
			t.Fatalf("stored and read: %v %d %q", gotJSON, gotCreated, custom)
		}
	})
}

// Both forms of an id, and whatever else stands in its place.
func FuzzID(f *testing.F) {
	f.Add("0190a1b2-0000-7000-8000-000000000001", int64(1), int64(-1))
	f.Add("", int64(0), int64(0))
	f.Fuzz(func(t *testing.T, text string, high, low int64) {
		_, _ = parseID(&shared.UUID{Value: &shared.UUID_String_{String_: text}}, "id")
		id, err := parseID(&shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{MostSignificantBits: high, LeastSignificantBits: low}}}, "id")
		if err != nil {
			if high != 0 || low != 0 {
				t.Fatal(err)
			}
			return
		}
		again, err := parseID(&shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}, "id")
		if err != nil || again != id {
			t.Fatalf("%s became %s: %v", id, again, err)
		}
		if s := structured(id).GetStructured(); s.GetMostSignificantBits() != high || s.GetLeastSignificantBits() != low {
			t.Fatalf("%d %d became %v", high, low, s)
		}
	})
}

// What seen remembers is bounded, and the newest stays.
func TestSeen_ForgetsTheOldest(t *testing.T) {
	const max = 100
	s := newSeen(max)
	id := func(i int) domain.EventID { return domain.EventID{byte(i), byte(i >> 8), 1} }
	for i := range 3 * max {
		s.add("orders-1", []domain.Pending{{ID: id(i)}}, domain.Revision(i), domain.Position(i+1))
		s.add("orders-1", []domain.Pending{{ID: id(i)}}, domain.Revision(i), domain.Position(i+1)) // a repeat takes no room
	}
	if len(s.places) != max {
		t.Fatalf("%d are remembered", len(s.places))
	}
	for i := range 3 * max {
		last, all, _ := s.find("orders-1", []proposed{{id: id(i)}})
		if all != (i >= 2*max) || all && last.revision != domain.Revision(i) {
			t.Fatalf("%d: %v %v", i, all, last)
		}
	}
	if _, all, _ := s.find("orders-2", []proposed{{id: id(3*max - 1)}}); all {
		t.Fatal("an id counts in its stream only")
	}
}

// Instants before 1970 and far ahead stay decimal numbers.
func TestTicks(t *testing.T) {
	for _, c := range []struct {
		at   time.Time
		want int64
	}{
		{time.Unix(0, 0), 0},
		{time.Unix(1, 1500), 10_000_015},
		{time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), 17_953_056_000_000_000},
	} {
		if got := ticks(c.at); got != c.want {
			t.Errorf("%s: %d instead of %d", c.at, got, c.want)
		}
	}
}
