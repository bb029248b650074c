package sealing

import (
	"context"
	"strconv"

	"quipu/domain"
)

// Open returns v as it was before Seal, byte for byte: for the hands of nodes, never for logs,
// frames or expressions.
//
// Errors: ErrCorrupt if a hole has no place, names a secret this session has not learned, or has
// another fingerprint than that secret; those of blobs.Get.
func (r *Run) Open(ctx context.Context, v domain.Value) ([]byte, error) {
	return v.Fill(func(h domain.Hole) ([]byte, error) {
		if h.Blob != "" {
			return r.blobs.Get(ctx, h.Blob)
		}
		n, ok := secretNumber(h.Sealed)
		if !ok || n > len(r.secrets) || r.secrets[n-1].missing() {
			return nil, domain.E(domain.KindCorrupt, "open value of", r.stream, "no secret "+strconv.Quote(h.Sealed)+" is known")
		}
		if r.secrets[n-1].FP != h.FP {
			return nil, domain.E(domain.KindCorrupt, "open value of", r.stream, "secret "+h.Sealed+" has another fingerprint than its hole")
		}
		return []byte(r.secrets[n-1].literal), nil
	})
}
