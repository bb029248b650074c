package guard

import "strings"

// area says who may come to a path.
type area int

const (
	closed area = iota // with a key, where there are any; what no other area names
	open               // anybody
	lao                // with a key, unless Options.LAOOpen
	ownKey             // the route itself asks for a key of another kind
)

// areaOf is the area of a path as the router reads it: nothing is decoded, ends in slashes do not
// count. A path that is not known here is closed.
func areaOf(path string) area {
	path = strings.TrimRight(path, "/")
	switch path {
	case "", "/health/live", "/health/ready", "/docs", "/openapi.json":
		return open
	case "/ws": // of an endpoint, with the endpoint's key
		return ownKey
	case "/run-dag":
		return lao
	}
	if strings.HasPrefix(path, "/docs/") {
		return open
	}
	if strings.HasPrefix(path, "/task-status/") {
		return lao
	}
	if names, ok := strings.CutPrefix(path, "/ws/"); ok {
		flow, run, two := strings.Cut(names, "/")
		if two && flow != "workflows" && !strings.Contains(run, "/") {
			return lao
		}
	}
	return closed
}
