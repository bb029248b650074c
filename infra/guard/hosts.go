package guard

import (
	"net/netip"
	"net/url"
	"strings"
)

// Hosts is the rule about the names that clients address the server by. A page of a name that its
// owner points at this machine would be of the same origin as the server, for the browser as for the
// rule about origins; only the name gives it away. Addresses are always allowed: nobody can point
// one elsewhere. The zero value allows every name.
type Hosts struct {
	check bool
	names map[string]bool
}

// NewHosts makes the rule: names, and the hosts of origins, beside localhost. It is kept if the
// server listens on a loopback address, or if there are names; "*" among them allows any.
func NewHosts(names, origins []string, loopback bool) Hosts {
	h := Hosts{check: loopback || len(names) > 0, names: map[string]bool{}}
	for _, name := range names {
		if name == "*" {
			return Hosts{}
		}
		h.names[strings.ToLower(strings.TrimSuffix(name, "."))] = true
	}
	for _, origin := range origins {
		if u, err := url.Parse(origin); err == nil && u.Hostname() != "" {
			h.names[strings.ToLower(u.Hostname())] = true
		}
	}
	return h
}

// allow looks at a Host header. Browsers always send one.
func (h Hosts) allow(host string) bool {
	if !h.check || host == "" {
		return true
	}
	name := strings.ToLower(host)
	if at := strings.LastIndexByte(name, ':'); at >= 0 && !strings.HasSuffix(name, "]") {
		name = name[:at]
	}
	name = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(name, "["), "]"), ".")
	if name == "localhost" || strings.HasSuffix(name, ".localhost") || h.names[name] {
		return true
	}
	_, err := netip.ParseAddr(name)
	return err == nil
}
