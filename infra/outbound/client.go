package outbound

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"

	"code.dny.dev/ssrf"
)

// BlockedError says that a destination is not allowed. It names the address, which may be an
// internal one: it is for logs, not for clients.
type BlockedError struct {
	Address string
	Cause   error
}

// Error renders "destination <address> is not allowed: <cause>".
func (e *BlockedError) Error() string {
	return "destination " + e.Address + " is not allowed: " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *BlockedError) Unwrap() error { return e.Cause }

// Blocked is true; callers that may not import this package look for the method.
func (e *BlockedError) Blocked() bool { return true }

// IsBlocked reports whether err is about a destination that is not allowed.
func IsBlocked(err error) bool {
	var b *BlockedError
	return errors.As(err, &b)
}

// NewClient makes a guarded client. It follows redirects by the rules of redirects.go, keeps no
// cookies and has no overall timeout: each request's context bounds it. It is safe for concurrent
// use; CloseIdleConnections ends what it holds.
//
// Errors: those of Options.Validate.
func NewClient(o Options) (*http.Client, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	r, err := parseRules(o)
	if err != nil {
		return nil, err
	}
	g := guard{rules: r, guardian: ssrf.New(
		ssrf.WithAnyPort(),
		ssrf.WithAllowedV4Prefixes(r.allow4...), ssrf.WithAllowedV6Prefixes(r.allow6...),
		ssrf.WithDeniedV4Prefixes(r.deny4...), ssrf.WithDeniedV6Prefixes(r.deny6...),
	)}
	trusted := net.Dialer{Timeout: o.DialTimeout, Resolver: o.Resolver}
	guarded := trusted
	guarded.Control = g.control
	return &http.Client{
		CheckRedirect: checkRedirect(o.RedirectsMax),
		Transport: &http.Transport{
			Proxy: nil, // see the package comment
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				if g.trusts(address) {
					return trusted.DialContext(ctx, network, address)
				}
				return guarded.DialContext(ctx, network, address)
			},
			TLSHandshakeTimeout:    o.TLSHandshakeTimeout,
			ResponseHeaderTimeout:  o.ResponseHeaderTimeout,
			IdleConnTimeout:        o.IdleTimeout,
			MaxConnsPerHost:        o.ConnsPerHostMax,
			MaxIdleConnsPerHost:    o.ConnsPerHostMax,
			MaxIdleConns:           o.IdleConnsMax,
			MaxResponseHeaderBytes: responseHeaderBytesMax,
			ForceAttemptHTTP2:      true,
		},
	}, nil
}

type guard struct {
	rules    rules
	guardian *ssrf.Guardian
}

// trusts tells whether the operator listed the host:port that a URL names.
func (g guard) trusts(address string) bool {
	host, port, err := net.SplitHostPort(address)
	return err == nil && g.rules.hostPorts[hostPort(host, port)]
}

// control runs after name resolution, for each address tried, before the socket connects.
func (g guard) control(network, address string, _ syscall.RawConn) error {
	blocked := func(err error) error { return &BlockedError{Address: address, Cause: err} }
	if network != "tcp4" && network != "tcp6" {
		return blocked(ssrf.ErrProhibitedNetwork)
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return blocked(ssrf.ErrInvalidHostPort)
	}
	// An IPv4 address in IPv6 clothes is judged as what it is.
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if g.rules.addrPorts[to] {
		return nil
	}
	if err := g.guardian.SafeAddrPort(to); err != nil {
		return blocked(err)
	}
	return nil
}
