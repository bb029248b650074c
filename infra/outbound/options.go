package outbound

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Defaults of Options.
const (
	DialTimeoutDefault           = 10 * time.Second
	TLSHandshakeTimeoutDefault   = 10 * time.Second
	ResponseHeaderTimeoutDefault = 10 * time.Minute
	IdleTimeoutDefault           = 90 * time.Second
	ConnsPerHostMaxDefault       = 256
	IdleConnsMaxDefault          = 512
	RedirectsMaxDefault          = 5
)

// responseHeaderBytesMax bounds a reply's header block; net/http's own default is 10 MB.
const responseHeaderBytesMax = 64 << 10

// Options are the settings of a client. The zero value allows public addresses only.
type Options struct {
	// Allow lists destinations allowed beside the public ones: networks ("10.1.0.0/16",
	// "fd00::/8"), single addresses ("10.1.2.3") and host:port pairs ("ollama:11434",
	// "127.0.0.1:8080", "[::1]:8080"). A host:port is trusted wherever its name resolves to.
	Allow []string
	// Deny lists further networks to refuse, such as a NAT64 prefix of one's own. A network that
	// Allow lists too is allowed.
	Deny []string
	// AllowLoopback allows 127.0.0.0/8 and ::1, for development.
	AllowLoopback bool

	// DialTimeout bounds name resolution and connecting; default 10 s.
	DialTimeout time.Duration
	// TLSHandshakeTimeout has a default of 10 s.
	TLSHandshakeTimeout time.Duration
	// ResponseHeaderTimeout is the longest wait for a reply's header; default 10 min, since a
	// model may think that long. A request's context is normally shorter.
	ResponseHeaderTimeout time.Duration
	// IdleTimeout closes unused connections; default 90 s.
	IdleTimeout time.Duration
	// ConnsPerHostMax bounds connections to one host; further requests wait within their context.
	// Default 256. As many are kept idle, IdleConnsMax (default 512) over all hosts.
	ConnsPerHostMax int
	IdleConnsMax    int
	// RedirectsMax is the most redirects followed; default 5. The reply that would lead further
	// is returned as it is.
	RedirectsMax int

	// Resolver looks names up; nil gives net.DefaultResolver.
	Resolver *net.Resolver
}

func (o Options) withDefaults() Options {
	durations := []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&o.DialTimeout, DialTimeoutDefault},
		{&o.TLSHandshakeTimeout, TLSHandshakeTimeoutDefault},
		{&o.ResponseHeaderTimeout, ResponseHeaderTimeoutDefault},
		{&o.IdleTimeout, IdleTimeoutDefault},
	}
	for _, d := range durations {
		if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	counts := []struct {
		value    *int
		fallback int
	}{
		{&o.ConnsPerHostMax, ConnsPerHostMaxDefault},
		{&o.IdleConnsMax, IdleConnsMaxDefault},
		{&o.RedirectsMax, RedirectsMaxDefault},
	}
	for _, c := range counts {
		if *c.value == 0 {
			*c.value = c.fallback
		}
	}
	return o
}

// Validate reports every setting that cannot be used, by name.
func (o Options) Validate() error {
	var problems []error
	for _, s := range []struct {
		name  string
		value int64
	}{
		{"DialTimeout", int64(o.DialTimeout)},
		{"TLSHandshakeTimeout", int64(o.TLSHandshakeTimeout)},
		{"ResponseHeaderTimeout", int64(o.ResponseHeaderTimeout)},
		{"IdleTimeout", int64(o.IdleTimeout)},
		{"ConnsPerHostMax", int64(o.ConnsPerHostMax)},
		{"IdleConnsMax", int64(o.IdleConnsMax)},
		{"RedirectsMax", int64(o.RedirectsMax)},
	} {
		if s.value < 0 {
			problems = append(problems, fmt.Errorf("%s is below zero", s.name))
		}
	}
	_, err := parseRules(o)
	return errors.Join(append(problems, err)...)
}

// rules are the parsed lists.
type rules struct {
	allow4, allow6, deny4, deny6 []netip.Prefix
	hostPorts                    map[string]bool // normal form of hostPort
	addrPorts                    map[netip.AddrPort]bool
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func parseRules(o Options) (rules, error) {
	r := rules{hostPorts: map[string]bool{}, addrPorts: map[netip.AddrPort]bool{}}
	var problems []error
	for i, s := range o.Allow {
		if p, ok := parsePrefix(s); ok {
			add(&r.allow4, &r.allow6, p)
			continue
		}
		host, port, err := net.SplitHostPort(s)
		n, badPort := strconv.ParseUint(port, 10, 16)
		if err != nil || badPort != nil || host == "" || n == 0 || strings.ContainsAny(host, "/@ ") {
			problems = append(problems, fmt.Errorf("outbound option Allow[%d]: %q is no network, address or host:port", i, s))
			continue
		}
		r.hostPorts[hostPort(host, port)] = true
		if ip, err := netip.ParseAddr(host); err == nil {
			r.addrPorts[netip.AddrPortFrom(ip.Unmap(), uint16(n))] = true
		}
	}
	for i, s := range o.Deny {
		p, ok := parsePrefix(s)
		if !ok {
			problems = append(problems, fmt.Errorf("outbound option Deny[%d]: %q is no network or address", i, s))
			continue
		}
		add(&r.deny4, &r.deny6, p)
	}
	if o.AllowLoopback {
		for _, p := range loopback {
			add(&r.allow4, &r.allow6, p)
		}
	}
	return r, errors.Join(problems...)
}

// parsePrefix reads a network, or an address as the network of itself.
func parsePrefix(s string) (netip.Prefix, bool) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err == nil && !p.Addr().Is4In6()
}

func add(v4, v6 *[]netip.Prefix, p netip.Prefix) {
	if p.Addr().Is4() {
		*v4 = append(*v4, p)
	} else {
		*v6 = append(*v6, p)
	}
}

func hostPort(host, port string) string {
	return strings.TrimSuffix(strings.ToLower(host), ".") + " " + port
}
