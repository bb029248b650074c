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
	var r reader
	r.reset(data)
	var e name.Bound
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "flow_name":
			e.FlowName = r.Text()
		case "run_name":
			e.RunName = r.Text()
		case "execution_id":
			e.ExecutionID = r.Text()
		default:
			r.Unknown()
		}
	}
	if err := r.done("decode event", typ); err != nil {
		return name.Bound{}, err
	}
	return e, nil
}
