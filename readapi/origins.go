package readapi

// Origins is the one rule about the pages that browsers send requests for, sockets and others.
type Origins struct{ rule origins }

// NewOrigins makes the rule of a list of origins (scheme://host[:port]); "*" allows any.
func NewOrigins(allowed []string) Origins { return Origins{newOrigins(allowed)} }

// Allow says whether a request with these Origin and Host headers may go on.
func (o Origins) Allow(origin, host string) bool { return o.rule.allow(origin, host) }
