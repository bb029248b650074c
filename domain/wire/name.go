package wire

import (
	"quipu/domain"
	"quipu/domain/name"
)

// NameBound is the stored type of name.Bound.
const NameBound = "name.bound.v1"

// EncodeNameBound gives the stored type and bytes.
func EncodeNameBound(e name.Bound) (typ string, data []byte) {
	o := newObject(nil)
	o.str("flow_name", e.FlowName)
	o.str("run_name", e.RunName)
	o.str("execution_id", e.ExecutionID)
	return NameBound, o.done()
}

// DecodeNameBound reads what EncodeNameBound wrote. Errors: ErrCorrupt.
func DecodeNameBound(typ string, data []byte) (name.Bound, error) {
	if typ != NameBound {
		return name.Bound{}, domain.E(domain.KindCorrupt, "decode event", typ, "is not a name event this version knows").WithCode("UNKNOWN_EVENT")
	}
	var w struct {
		FlowName    string `json:"flow_name"`
		RunName     string `json:"run_name"`
		ExecutionID string `json:"execution_id"`
	}
	if err := strict(data, &w); err != nil {
		return name.Bound{}, domain.Wrap(domain.KindCorrupt, "decode event", typ, err)
	}
	return name.Bound(w), nil
}
