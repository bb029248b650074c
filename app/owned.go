package app

import "quipu/app/views"

// measureOwned says at the moment of asking which of the works that one of several nodes does are this
// node's.
func (s *server) measureOwned() {
	var works []string
	if s.views.Shared() {
		works = append(works, views.Projector)
	}
	for _, r := range s.relays {
		works = append(works, r.ID())
	}
	if topic := s.Config.NATS.Intake; topic != "" {
		works = append(works, "intake:"+topic)
	}
	for _, work := range works {
		mine, _ := s.node.Work(work).Owns()
		s.Metrics.Owned(work, mine)
	}
}
