package main

import (
	"errors"

	"quipu/domain"
)

var errConflict = errors.New("conflict")

// group is the group commit that SQLite and Pebble are given: one goroutine takes whatever queued
// during the last commit, checks each expected revision, and commits all that pass at once.
type group struct {
	queue   chan *request
	stopped chan struct{}
	commit  func([]*request) error
	heads   map[string]int64 // spares both engines a read per append
}

type request struct {
	stream   string
	expected int64
	events   []domain.Pending
	done     chan error
}

const groupMax = 1024

func newGroup(commit func([]*request) error) *group {
	g := &group{queue: make(chan *request, groupMax), stopped: make(chan struct{}), commit: commit, heads: map[string]int64{}}
	go g.run()
	return g
}

func (g *group) append(stream string, expected int64, events []domain.Pending) error {
	r := &request{stream, expected, events, make(chan error, 1)}
	g.queue <- r
	return <-r.done
}

func (g *group) stop() {
	close(g.queue)
	<-g.stopped
}

func (g *group) run() {
	defer close(g.stopped)
	for r := range g.queue {
		batch := g.accept(nil, r)
		for len(batch) < groupMax && len(g.queue) > 0 {
			batch = g.accept(batch, <-g.queue)
		}
		err := g.commit(batch)
		for _, r := range batch {
			r.done <- err
		}
	}
}

func (g *group) accept(batch []*request, r *request) []*request {
	head, ok := g.heads[r.stream]
	if !ok {
		head = -1
	}
	if head != r.expected {
		r.done <- errConflict
		return batch
	}
	g.heads[r.stream] = head + int64(len(r.events))
	return append(batch, r)
}
