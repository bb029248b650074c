// Package outbound makes the HTTP client for every call that a workflow asks for.
//
// Definitions come from users, so a URL may name anything. The client checks the address a
// connection really goes to, after name resolution and after each redirect, and refuses loopback,
// private, link-local and other special networks unless the operator allows them. Source:
// IANA's special-purpose registries, as kept by code.dny.dev/ssrf.
//
// Proxies from the environment are not used: the address dialled would be the proxy's.
package outbound
