// Package name is the decider for names: which run a flow name and run name stand for (contract D6).
//
// Each pair is a stream of its own; its newest name.bound says which run is meant. Appending it at
// an exact revision is the fence between two starts of the same name.
package name

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"quipu/domain"
	"quipu/domain/workflow"
)

// StreamPrefix starts the id of every name stream.
const StreamPrefix = "name-"

// Bound says that the pair stands for ExecutionID from now on.
type Bound struct {
	FlowName    string
	RunName     string
	ExecutionID string
}

// Stream is the stream of a pair: "name-" and the first 32 hex digits of a SHA-256 over both names,
// each preceded by its length as 4 bytes big-endian.
func Stream(flow, run string) domain.StreamID {
	b := make([]byte, 0, len(flow)+len(run)+8)
	b = binary.BigEndian.AppendUint32(b, uint32(len(flow)))
	b = append(b, flow...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(run)))
	b = append(b, run...)
	sum := sha256.Sum256(b)
	return domain.StreamID(StreamPrefix + hex.EncodeToString(sum[:16]))
}

// WorkflowID is the workflow_id of runs started by flow name alone (contract D20).
func WorkflowID(flow string) string {
	sum := sha256.Sum256([]byte(flow))
	return "lao-" + hex.EncodeToString(sum[:8])
}

// Reserved is the flow name that would collide with another route (contract D2).
const Reserved = "workflows"

// Check reports why a pair cannot be a name. Errors: ErrUnprocessable naming flow_name or
// run_name; ErrInvalid for the reserved flow name.
func Check(flow, run string) error {
	for _, n := range []struct{ field, value string }{{"flow_name", flow}, {"run_name", run}} {
		if err := workflow.CheckName(n.value); err != nil {
			return domain.E(domain.KindUnprocessable, "", "", err.Error()).WithField(n.field).WithCode("INVALID_NAME")
		}
	}
	if flow == Reserved {
		return domain.E(domain.KindInvalid, "", "", `"workflows" is reserved, since /ws/workflows/… is another stream; choose another name`).
			WithField("flow_name").WithCode("RESERVED_NAME")
	}
	return nil
}
