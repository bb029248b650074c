package outbound

import (
	"net/http"
	"net/url"
)

// carried are the headers that go along to another origin. Everything else may hold a secret
// under a name nobody knows (x-api-key, X-Acme-Token), so net/http's own short list of what to
// leave out would not do.
var carried = map[string]bool{
	"Accept": true, "Accept-Encoding": true, "Accept-Language": true, "Content-Type": true,
	"Idempotency-Key": true, "Quipu-Attempt": true, "Traceparent": true, "User-Agent": true,
}

// checkRedirect follows up to redirectsMax redirects. Where one must not be followed (too many,
// not http or https, from https to http) the redirect reply itself is the outcome, which callers
// see as a status like any other.
//
// net/http turns 301, 302 and 303 into a GET without the body, and repeats the body for 307 and
// 308. Once a request has left the origin it began at, only the carried headers go along, also
// on the way back.
func checkRedirect(redirectsMax int) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		from := via[len(via)-1].URL
		if len(via) > redirectsMax || req.URL.Scheme != "http" && req.URL.Scheme != "https" ||
			from.Scheme == "https" && req.URL.Scheme == "http" {
			return http.ErrUseLastResponse
		}
		// The page a request came from may have secrets in its query.
		req.Header.Del("Referer")
		left := !sameOrigin(via[0].URL, req.URL)
		for _, past := range via[1:] {
			left = left || !sameOrigin(via[0].URL, past.URL)
		}
		if !left {
			return nil
		}
		for name := range req.Header {
			if !carried[name] {
				req.Header.Del(name)
			}
		}
		return nil
	}
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && a.Host == b.Host
}
