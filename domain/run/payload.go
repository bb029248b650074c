package run

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"quipu/domain"
)

// results maps each completed task to the revision of its task_completed.
func (d *decider) results() domain.Value {
	var o domain.Object
	for i := range d.state.Graph.Nodes {
		if t := d.state.Task(i); t.Phase == TaskCompletedPhase {
			o.Add(d.state.Graph.Nodes[i].Name, domain.Raw(strconv.AppendInt(nil, int64(t.Revision), 10)))
		}
	}
	return d.inline(o.Value())
}

// inline replaces a payload that is too large for an event by the hole of its blob. Equal blobs are
// handed out once.
func (d *decider) inline(v domain.Value) domain.Value {
	v = tidy(v)
	if len(v.JSON) <= domain.PayloadInlineBytesMax {
		return v
	}
	hash := sha256.Sum256(v.JSON)
	sum := hex.EncodeToString(hash[:])
	if _, known := d.sums[sum]; !known {
		if d.sums == nil {
			d.sums = make(map[string]struct{})
		}
		d.sums[sum] = struct{}{}
		d.blobs = append(d.blobs, v.JSON)
		d.blobbed += len(v.JSON)
	}
	holes := append([]domain.Hole{{Blob: sum, Bytes: int64(len(v.JSON))}}, v.Holes...)
	return domain.Value{JSON: []byte("null"), Holes: holes}
}

// TaskID derives the id of one task execution (contract D11): the UUIDv8 of the SHA-256 over run,
// task and iteration, so that a decision needs no randomness.
func TaskID(runID, task string, iteration int) string {
	var small [128]byte // on the stack: an id is made several times for each task
	b := append(small[:0], "task\x00"...)
	b = append(b, runID...)
	b = append(b, 0)
	b = append(b, task...)
	b = append(b, 0)
	b = strconv.AppendInt(b, int64(iteration), 10)
	return domain.UUIDv8(sha256.Sum256(b)).String()
}
