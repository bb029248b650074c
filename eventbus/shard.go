package eventbus

import (
	"hash/maphash"
	"sync"

	"quipu/domain"
)

// shardsCount is a power of two well above the cores that could contend for a shard.
const shardsCount = 64

// shards maps a stream to its followers, in parts so that sockets coming and going on some streams
// do not hold up delivery on others.
type shards struct {
	seed  maphash.Seed
	parts [shardsCount]shard
}

type shard struct {
	mu        sync.RWMutex
	followers map[domain.StreamID][]*Subscriber
	recent    map[domain.StreamID]*recent // of streams with recentFollowersMin followers; written by publish
}

func newShards() *shards { return &shards{seed: maphash.MakeSeed()} }

func (s *shards) of(stream domain.StreamID) *shard {
	return &s.parts[maphash.String(s.seed, string(stream))%shardsCount]
}

func (s *shards) add(stream domain.StreamID, f *Subscriber) {
	p := s.of(stream)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.followers == nil {
		p.followers = map[domain.StreamID][]*Subscriber{}
	}
	p.followers[stream] = append(p.followers[stream], f)
}

func (s *shards) remove(stream domain.StreamID, f *Subscriber) {
	p := s.of(stream)
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.followers[stream]
	for i := range list {
		if list[i] != f {
			continue
		}
		// Order does not matter; publish holds the read lock, so the list is not in use.
		list[i] = list[len(list)-1]
		list[len(list)-1] = nil
		list = list[:len(list)-1]
		break
	}
	if len(list) < recentFollowersMin {
		delete(p.recent, stream)
	}
	if len(list) == 0 {
		delete(p.followers, stream)
		return
	}
	p.followers[stream] = list
}

// lookup returns what is remembered of stream from revision next on, nil if that is not held.
func (s *shards) lookup(stream domain.StreamID, next domain.Revision, max int) []Shared {
	p := s.of(stream)
	p.mu.RLock()
	defer p.mu.RUnlock()
	if r := p.recent[stream]; r != nil {
		return r.from(next, max)
	}
	return nil
}

// remember notes shared as recent events of stream if many follow it.
func (p *shard) remember(stream domain.StreamID, shared []Shared) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.followers[stream]) < recentFollowersMin {
		return
	}
	if p.recent == nil {
		p.recent = map[domain.StreamID]*recent{}
	}
	r := p.recent[stream]
	if r == nil {
		r = &recent{}
		p.recent[stream] = r
	}
	r.add(shared)
}

// publish, called by one goroutine at a time, hands consecutive events of one stream to its followers.
func (s *shards) publish(stream domain.StreamID, events []domain.Recorded) {
	p := s.of(stream)
	p.mu.RLock()
	count := len(p.followers[stream])
	p.mu.RUnlock()
	if count == 0 {
		return // who joins now reads the log
	}
	shared := make([]Shared, len(events))
	for i := range events {
		shared[i] = &event{recorded: events[i], live: true}
	}
	// Before the followers are told, so that one of them that lags finds these too.
	if count >= recentFollowersMin {
		p.remember(stream, shared)
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	list := p.followers[stream]
	for _, f := range list {
		f.offer(shared)
	}
}

// each calls visit for every follower, once per stream it follows.
func (s *shards) each(visit func(*Subscriber)) {
	for i := range s.parts {
		p := &s.parts[i]
		p.mu.RLock()
		for _, list := range p.followers {
			for _, f := range list {
				visit(f)
			}
		}
		p.mu.RUnlock()
	}
}
