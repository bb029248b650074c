package wire

import (
	"quipu/domain"
	"quipu/domain/endpoint"
)

// EndpointCreated is the stored type of endpoint.Created.
const EndpointCreated = "endpoint.created.v1"

// EncodeEndpointCreated gives the stored type and bytes.
func EncodeEndpointCreated(e endpoint.Created) (typ string, data []byte) {
	o := newObject(nil)
	o.str("endpoint_id", e.ID)
	o.str("slug", e.Slug)
	o.str("key_sha256", e.KeyHash)
	return EndpointCreated, o.done()
}

// DecodeEndpointCreated reads what EncodeEndpointCreated wrote.
// Errors: ErrCorrupt; its Code is UNKNOWN_EVENT if this build does not know the type.
func DecodeEndpointCreated(typ string, data []byte) (endpoint.Created, error) {
	if typ != EndpointCreated {
		return endpoint.Created{}, domain.E(domain.KindCorrupt, "decode event", typ, "is not an endpoint event this version knows").WithCode("UNKNOWN_EVENT")
	}
	var r reader
	r.reset(data)
	var e endpoint.Created
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "endpoint_id":
			e.ID = r.Text()
		case "slug":
			e.Slug = r.Text()
		case "key_sha256":
			e.KeyHash = r.Text()
		default:
			r.Unknown()
		}
	}
	if err := r.done("decode event", typ); err != nil {
		return endpoint.Created{}, err
	}
	return e, nil
}
