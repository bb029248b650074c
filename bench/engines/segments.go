package main

import (
	"context"

	"quipu/domain"
	"quipu/infra/embedded"
)

type segmentEngine struct{ log *embedded.Log }

func openSegments(dir string) (engine, error) {
	l, err := embedded.Open(dir, embedded.Options{})
	return segmentEngine{l}, err
}

func (s segmentEngine) append(stream string, expected int64, events []domain.Pending) error {
	_, err := s.log.Append(context.Background(), domain.StreamID(stream), domain.Revision(expected), events)
	return err
}

func (s segmentEngine) close() error { return s.log.Close() }
