package eventbus

import "quipu/domain"

// Bounds of what a shard remembers of a stream that many follow.
const (
	// recentFollowersMin is from how many followers on a stream's last events are remembered.
	recentFollowersMin = 4
	// recentEventsMax and recentBytesMax bound what is remembered per stream.
	recentEventsMax = 256
	recentBytesMax  = 256 << 10
)

// recent holds the newest events of one stream, in order and without gap, so that followers who
// lag or return share them, rendered once, instead of reading and rendering each for itself. It is
// a cache: what it does not hold, the log does.
type recent struct {
	events []Shared
	bytes  int
}

func (r *recent) add(events []Shared) {
	for _, e := range events {
		n := len(r.events)
		if n > 0 && e.Recorded().Revision != r.events[n-1].Recorded().Revision+1 {
			*r = recent{}
		}
		r.events = append(r.events, e)
		r.bytes += size(e)
	}
	drop := 0
	for len(r.events)-drop > recentEventsMax || r.bytes > recentBytesMax && drop < len(r.events) {
		r.bytes -= size(r.events[drop])
		drop++
	}
	if drop > 0 {
		// A copy, so that readers may keep parts of the old one.
		r.events = append(make([]Shared, 0, len(r.events)-drop+16), r.events[drop:]...)
	}
}

// from returns what is held from revision next on, at most max; nil if next is not held.
func (r *recent) from(next domain.Revision, max int) []Shared {
	if len(r.events) == 0 {
		return nil
	}
	i := next - r.events[0].Recorded().Revision
	if i < 0 || i >= domain.Revision(len(r.events)) {
		return nil
	}
	page := r.events[i:min(int(i)+max, len(r.events))]
	return page[:len(page):len(page)]
}

func size(e Shared) int { return len(e.Recorded().Data) + len(e.Recorded().Metadata) }
