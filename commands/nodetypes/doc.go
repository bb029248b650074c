// Package nodetypes holds the node types built into Quipu, one file per type.
//
// To add a type, write a file with a function that returns a node.Type and list it in All. What
// the types need from outside (an HTTP client, the time, the default model) comes in through
// Deps; nothing here opens a socket, reads the environment or keeps state between calls, so all
// types are safe for concurrent use.
//
// A failed call is a *node.Failure whose message names the method and the URL without query and
// user info, never headers, bodies or keys. The codes are listed in failure.go.
package nodetypes
