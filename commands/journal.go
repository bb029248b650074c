package commands

import (
	"time"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// RunStream is the stream of a run.
func RunStream(runID string) domain.StreamID { return domain.StreamID(RunStreamPrefix + runID) }

// RunStreamPrefix starts the id of every run's stream.
const RunStreamPrefix = "run-"

// chain encodes events and chains them to head; all carry the same instant and cause.
func chain(dst []domain.Pending, stream domain.StreamID, head wire.Head, at time.Time, cause wire.Cause, events []run.Event) ([]domain.Pending, wire.Head) {
	for _, e := range events {
		typ, data := wire.EncodeRun(e)
		var p domain.Pending
		p, head = wire.Seal(stream, head, at, cause, typ, data)
		dst = append(dst, p)
	}
	return dst, head
}
