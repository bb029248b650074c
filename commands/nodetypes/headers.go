package nodetypes

import (
	"net/http"
	"strings"
)

// headersOfOurs are what a definition may not set: they belong to the connection (RFC 9110,
// section 7.6.1), would let a request be read in two ways, or would name another host than the
// one that was checked.
var headersOfOurs = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true, "Proxy-Authorization": true,
	"Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Expect": true, "Host": true, "Content-Length": true, "Http2-Settings": true,
}

// checkHeader says what is wrong with a header, "" if nothing.
func checkHeader(name, value string) string {
	switch {
	case !isToken(name):
		return "is not a header's name"
	case headersOfOurs[http.CanonicalHeaderKey(name)]:
		return "this header is set by Quipu and cannot be given"
	case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
		return "a header's value must be one line without control characters"
	}
	return ""
}

// isToken tells whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return true
}
