package kurrentport

import (
	"strings"

	"google.golang.org/grpc/codes"

	"quipu/domain"
)

// ExternalPrefix begins the log's names of streams that are not Quipu's own.
const ExternalPrefix = domain.ExternalPrefix

// ownership says whose a stream is.
type ownership uint8

const (
	external ownership = iota // of whoever writes it
	own                       // of Quipu
	meta                      // $$<stream>: the metadata of a stream, which is not kept
	system                    // any other name that begins with $
	hidden                    // <prefix>ext-…: would be another name for an external stream
)

// names maps names on the wire to streams of the log and back.
type names struct{ prefix string }

// stream returns the log's name of a stream on the wire; it is empty but for external and own.
// Errors: a status INVALID_ARGUMENT if the log cannot hold such a name.
func (n names) stream(wire []byte) (domain.StreamID, ownership, error) {
	name := string(wire)
	switch {
	case strings.HasPrefix(name, "$$"):
		return "", meta, nil
	case strings.HasPrefix(name, "$"):
		return "", system, nil
	}
	id, whose := domain.StreamID(domain.ExternalPrefix+name), external
	if rest, ok := strings.CutPrefix(name, n.prefix); ok {
		id, whose = domain.StreamID(rest), own
		if strings.HasPrefix(rest, domain.ExternalPrefix) {
			return "", hidden, nil
		}
	}
	if name == "" {
		return "", whose, refuse(codes.InvalidArgument, "stream_identifier: the name is empty")
	}
	if err := id.Check(); err != nil {
		return "", whose, refuse(codes.InvalidArgument, "stream_identifier: "+err.Error())
	}
	return id, whose, nil
}

// wire returns the name on the wire of a stream of the log.
func (n names) wire(id domain.StreamID) string {
	if rest, ok := strings.CutPrefix(string(id), domain.ExternalPrefix); ok {
		return rest
	}
	return n.prefix + string(id)
}
