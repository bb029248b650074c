package guard

import (
	"net/url"
	"strings"
)

// Origins is the rule about the pages that browsers send requests for, of sockets as of others: exact,
// without case, on scheme, host and port. The zero value allows the server's own pages alone.
type Origins struct {
	any  bool
	list map[string]bool
}

// NewOrigins makes the rule of a list of origins (scheme://host[:port]); "*" allows any.
func NewOrigins(allowed []string) Origins {
	o := Origins{list: map[string]bool{}}
	for _, a := range allowed {
		if a == "*" {
			o.any = true
		}
		o.list[strings.ToLower(strings.TrimSuffix(a, "/"))] = true
	}
	return o
}

// allow says whether a request with these Origin and Host headers may go on. No Origin means no
// browser. The server's own host is allowed by whatever scheme, since a proxy in front may end TLS.
func (o Origins) allow(origin, host string) bool {
	if origin == "" || o.any {
		return true
	}
	origin = strings.ToLower(origin)
	if o.list[origin] {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && u.Host == strings.ToLower(host)
}
