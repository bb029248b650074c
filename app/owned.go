package app

import "quipu/app/views"

// measureOwned says at the moment of asking which of the works that one of several nodes does are this
// node's.
func (s *server) measureOwned() {
	var works []string
	if s.views.Shared() {
		works = append(works, views.Projector)
	}
	works = append(works, s.outward.Works()...)
	for _, work := range works {
		mine, _ := s.node.Work(work).Owns()
		s.Metrics.Owned(work, mine)
	}
}
