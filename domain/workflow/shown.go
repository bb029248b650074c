package workflow

import (
	"strconv"
	"time"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// Shown is a stored workflow as clients of /api see it (contract D16, D22).
type Shown struct {
	ID, Name, Description, Endpoint string
	Version                         int
	Definition                      []byte // the graph with its secrets masked: checked JSON; nil leaves it out
	CreatedAt, UpdatedAt            time.Time
	Position                        string // that a command was written at; "" leaves it out
}

// Show gives what clients see of s. graph is its Graph, masked.
func (s Stored) Show(graph []byte, position string) Shown {
	return Shown{
		ID: s.ID, Name: s.Name, Description: s.Description, Endpoint: s.Endpoint, Version: s.Version(),
		Definition: graph, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, Position: position,
	}
}

// AppendJSON appends the object: {id, name, description, endpoint, version[, definition], created_at,
// updated_at[, position]}.
func (w Shown) AppendJSON(dst []byte) []byte {
	text := func(lead, s string) { dst = rawjson.AppendString(append(dst, lead...), s) }
	text(`{"id":`, w.ID)
	text(`,"name":`, w.Name)
	text(`,"description":`, w.Description)
	text(`,"endpoint":`, w.Endpoint)
	dst = strconv.AppendInt(append(dst, `,"version":`...), int64(w.Version), 10)
	if w.Definition != nil {
		dst = append(append(dst, `,"definition":`...), w.Definition...)
	}
	text(`,"created_at":`, w.CreatedAt.UTC().Format(domain.TimeLayout))
	text(`,"updated_at":`, w.UpdatedAt.UTC().Format(domain.TimeLayout))
	if w.Position != "" {
		text(`,"position":`, w.Position)
	}
	return append(dst, '}')
}
