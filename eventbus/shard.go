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
	if len(list) == 0 {
		delete(p.followers, stream)
		return
	}
	p.followers[stream] = list
}

// publish hands consecutive events of one stream to its followers.
func (s *shards) publish(stream domain.StreamID, events []domain.Recorded) {
	p := s.of(stream)
	p.mu.RLock()
	defer p.mu.RUnlock()
	list := p.followers[stream]
	if len(list) == 0 {
		return
	}
	shared := make([]Shared, len(events))
	for i := range events {
		shared[i] = &event{recorded: events[i], live: true}
	}
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
