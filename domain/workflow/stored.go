package workflow

import (
	"fmt"
	"time"

	"quipu/domain"
)

// StreamPrefix starts the id of every stored workflow's stream.
const StreamPrefix = "workflow-"

// Stream is the stream of a stored workflow.
func Stream(id string) domain.StreamID { return domain.StreamID(StreamPrefix + id) }

// EndpointDefault is the endpoint of a workflow that names none (contract D15).
const EndpointDefault = "default"

// DescriptionBytesMax is the longest description of a workflow.
const DescriptionBytesMax = 16 << 10

// StoredPhase is where a stored workflow stands.
type StoredPhase uint8

// The phases of a stored workflow. A deleted one accepts no further event.
const (
	StoredNone StoredPhase = iota
	StoredActive
	StoredDeleted
)

// Content is what one version of a stored workflow says.
type Content struct {
	Name        string
	Description string
	Endpoint    string
	// Graph is the client's object {nodes, edges, …} as written, secrets and blobs as holes. What is
	// in it beside nodes and edges is kept too (contract D25).
	Graph domain.Value
}

// Stored is a workflow folded up to some revision. It is a value: folding further makes another.
type Stored struct {
	Phase StoredPhase
	ID    string
	Content
	Revision  domain.Revision // of the last event folded; NoStream if none
	CreatedAt time.Time
	UpdatedAt time.Time
	Secrets   []domain.Secret // of all versions, in order; never changed in place
}

// NewStored is the state before any event.
func NewStored() Stored { return Stored{Revision: domain.NoStream} }

// Version counts the versions from 1; 0 before the first. It is the revision plus one, so a version
// says which event made it.
func (s Stored) Version() int { return int(s.Revision) + 1 }

// StoredEvent is a recorded fact of a stored workflow. The set is closed; package wire knows every
// member.
type StoredEvent interface{ storedEvent() }

// Created is the first event of every stored workflow.
type Created struct {
	ID string
	Content
	Secrets []domain.Secret // that entered with this version
}

// Updated is a new version: the whole content, whatever part of it changed.
type Updated struct {
	ID string
	Content
	Secrets []domain.Secret
}

// Deleted ends a workflow; its versions and the runs of it stay for audit (contract D23).
type Deleted struct{ ID string }

func (Created) storedEvent() {}
func (Updated) storedEvent() {}
func (Deleted) storedEvent() {}

// StoredCommand is a request to a stored workflow. The set is closed.
type StoredCommand interface{ storedCommand() }

// Create makes a workflow that does not exist.
type Create struct {
	ID string
	Content
	Secrets []domain.Secret
}

// Update replaces the content of a workflow.
type Update struct {
	Content
	Secrets []domain.Secret
	// Expected is the version that the change was made on; 0 takes any.
	Expected int
}

// Delete ends a workflow.
type Delete struct{ Expected int }

func (Create) storedCommand() {}
func (Update) storedCommand() {}
func (Delete) storedCommand() {}

// StoredFact is an event with its place.
type StoredFact struct {
	Revision domain.Revision
	At       time.Time
	Event    StoredEvent
}

// Fold applies facts in order and returns the state after them.
// Errors: ErrCorrupt naming the fact that does not fit what came before.
func (s Stored) Fold(facts ...StoredFact) (Stored, error) {
	for _, f := range facts {
		if err := s.accepts(f); err != nil {
			return Stored{}, err
		}
		switch e := f.Event.(type) {
		case Created:
			s.Phase, s.ID, s.CreatedAt = StoredActive, e.ID, f.At
			s.Content, s.UpdatedAt, s.Secrets = e.Content, f.At, withSecrets(s.Secrets, e.Secrets)
		case Updated:
			s.Content, s.UpdatedAt, s.Secrets = e.Content, f.At, withSecrets(s.Secrets, e.Secrets)
		case Deleted:
			s.Phase, s.UpdatedAt = StoredDeleted, f.At
		}
		s.Revision = f.Revision
	}
	return s, nil
}

func (s Stored) accepts(f StoredFact) error {
	bad := func(message string) error {
		return domain.E(domain.KindCorrupt, "fold workflow", fmt.Sprintf("%s revision %d (%T)", s.ID, f.Revision, f.Event), message)
	}
	if f.Revision != s.Revision+1 {
		return bad(fmt.Sprintf("follows revision %d", s.Revision))
	}
	want := StoredActive
	switch f.Event.(type) {
	case Created:
		want = StoredNone
	case Updated, Deleted:
	default:
		return bad("is of an unknown kind")
	}
	if s.Phase != want {
		return bad(fmt.Sprintf("does not fit phase %d", s.Phase))
	}
	return nil
}

// withSecrets never writes to what an earlier state shares.
func withSecrets(have, more []domain.Secret) []domain.Secret {
	return append(have[:len(have):len(have)], more...)
}
