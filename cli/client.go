package cli

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"

	"quipu/infra/config"
)

// withKey adds the key of a server, if there is one.
func withKey(h http.Header, key config.Secret) http.Header {
	if key != "" {
		h.Set("x-api-key", key.Reveal())
	}
	return h
}

// serverHost is host and port of a --server, which may be written as a URL.
func serverHost(server string) string {
	return strings.TrimPrefix(strings.TrimSuffix(server, "/"), "http://")
}

// reachable is an address to call for one to listen on.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(strings.Trim(host, "[]")); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// problemText is what an answer that is an error says.
func problemText(response *http.Response) string {
	body, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
	var problem struct{ Message string }
	if json.Unmarshal(body, &problem) == nil && problem.Message != "" {
		return problem.Message
	}
	return string(body)
}
