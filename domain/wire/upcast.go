package wire

import "quipu/domain"

// upcaster turns the bytes of one old version into those of the next.
type upcaster struct {
	to   string
	data func([]byte) ([]byte, error)
}

// upcasters maps an old stored type to its successor. Each is pure, and golden files pin both
// sides. It is empty as long as every type is at its first version.
var upcasters = map[string]upcaster{}

// upcastStepsMax guards against a cycle in the table.
const upcastStepsMax = 100

func upcast(typ string, data []byte) (string, []byte, error) {
	for range upcastStepsMax {
		u, ok := upcasters[typ]
		if !ok {
			return typ, data, nil
		}
		next, err := u.data(data)
		if err != nil {
			return "", nil, domain.Wrap(domain.KindCorrupt, "upcast event", typ, err)
		}
		typ, data = u.to, next
	}
	return "", nil, domain.E(domain.KindInternal, "upcast event", typ, "the chain of upcasters does not end")
}
