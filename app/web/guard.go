package web

import "quipu/infra/guard"

// newGuard makes the door that every request passes.
func (s *Server) newGuard() *guard.Guard {
	c := s.Config
	keys := c.Guard.Keys()
	options := guard.Options{
		LAOOpen: c.LAOIsOpen(), Origins: guard.NewOrigins(c.HTTP.CORSOrigins),
		Hosts:   guard.NewHosts(c.Guard.Hosts, c.HTTP.CORSOrigins, c.HTTP.ServesLoopbackOnly()),
		Refused: s.Metrics.RequestRefused, Now: s.Clock.Now,
		Told: func(reason, from string, more int) {
			s.Logger.Warn("request refused at the door", "reason", reason, "from", from, "more_since_last_line", more)
		},
	}
	for _, k := range keys {
		options.Keys = append(options.Keys, guard.Key{Name: k.Name, SHA256: k.SHA256})
	}
	if len(keys) == 0 && !c.HTTP.ServesLoopbackOnly() {
		s.Logger.Warn("no api-keys are set and --insecure was said: whoever reaches the address may do everything", "addr", c.HTTP.Addr)
	}
	return guard.New(options)
}
