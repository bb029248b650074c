package workflow

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// Decide answers a command with at most one event; none means that there is nothing to do. It is
// pure and total, and does not change s.
//
// Errors: ErrConflict if a Create meets a workflow, or Expected another version (code
// VERSION_CHANGED); ErrNotFound for a workflow that does not exist or is deleted;
// ErrUnprocessable naming the field for a content that breaks a rule.
func (s Stored) Decide(c StoredCommand) ([]StoredEvent, error) {
	switch c := c.(type) {
	case Create:
		if s.Phase != StoredNone {
			return nil, domain.E(domain.KindConflict, "create workflow", c.ID, "the workflow exists")
		}
		return fitting(Created(c), c.Content, c.Secrets)
	case Update:
		if err := s.exists("update workflow", c.Expected); err != nil {
			return nil, err
		}
		if len(c.Secrets) == 0 && s.Equal(c.Content) {
			return nil, nil
		}
		return fitting(Updated{ID: s.ID, Content: c.Content, Secrets: c.Secrets}, c.Content, c.Secrets)
	case Delete:
		if err := s.exists("delete workflow", c.Expected); err != nil {
			return nil, err
		}
		return []StoredEvent{Deleted{ID: s.ID}}, nil
	}
	return nil, domain.E(domain.KindInternal, "decide workflow", s.ID, fmt.Sprintf("unknown command %T", c))
}

func (s Stored) exists(op string, expected int) error {
	switch {
	case s.Phase != StoredActive:
		return domain.E(domain.KindNotFound, op, s.ID, "names no workflow").WithField("id").WithCode("WORKFLOW_UNKNOWN")
	case expected != 0 && expected != s.Version():
		return domain.E(domain.KindConflict, op, s.ID, fmt.Sprintf(
			"is at version %d, not %d; read it and make the change again", s.Version(), expected)).WithField("id").WithCode("VERSION_CHANGED")
	}
	return nil
}

// Equal reports whether two contents are the same, byte for byte.
func (c Content) Equal(o Content) bool {
	return c.Name == o.Name && c.Description == o.Description && c.Endpoint == o.Endpoint &&
		string(c.Graph.JSON) == string(o.Graph.JSON) && slices.Equal(c.Graph.Holes, o.Graph.Holes)
}

func fitting(e StoredEvent, c Content, secrets []domain.Secret) ([]StoredEvent, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.size(secrets) > contentBytesMax {
		return nil, unfit("definition", fmt.Sprintf(
			"holds more secrets than fit into one event of %d bytes; shorten their keys or pass them as input", contentBytesMax))
	}
	return []StoredEvent{e}, nil
}

// Check reports the first thing wrong with what stands beside the graph.
// Errors: ErrUnprocessable naming name, description or endpoint.
func (c Content) Check() error {
	if err := CheckName(c.Name); err != nil {
		return unfit("name", err.Error())
	}
	switch {
	case len(c.Description) > DescriptionBytesMax:
		return unfit("description", fmt.Sprintf("has %d bytes, at most %d are allowed", len(c.Description), DescriptionBytesMax))
	case !utf8.ValidString(c.Description):
		return unfit("description", "is not valid UTF-8")
	case strings.Contains(c.Description, "\x00"): // no database keeps it
		return unfit("description", "contains a NUL character; remove it")
	case rawjson.KindOf(c.Graph.JSON) != rawjson.Object && len(c.Graph.Holes) == 0:
		return unfit("definition", "must be an object with nodes and edges")
	}
	if err := CheckName(c.Endpoint); err != nil {
		return unfit("endpoint", err.Error())
	}
	return nil
}

func unfit(field, message string) error {
	return domain.E(domain.KindUnprocessable, "", "", message).WithField("/" + field).WithCode("INVALID_WORKFLOW")
}

// contentBytesMax leaves room in an append for the metadata.
const contentBytesMax = domain.AppendBytesMax - 64<<10

// size is at least what the content takes in an event. A byte of text takes at most six.
func (c Content) size(secrets []domain.Secret) int {
	n := 6*(len(c.Name)+len(c.Description)+len(c.Endpoint)) + len(c.Graph.JSON)
	for _, h := range c.Graph.Holes {
		n += 128 + 6*(len(h.At)+len(h.Sealed)+len(h.FP)+len(h.Blob))
	}
	for _, s := range secrets {
		n += 128 + len(s.Ciphertext) + len(s.Blob) + 6*(len(s.ID)+len(s.FP))
	}
	return n
}
