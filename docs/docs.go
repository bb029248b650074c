// Package docs holds those pages of this folder that the program serves itself, so that readers of the
// source and of a running server have one text. Pages are embedded here because a file can only be
// embedded from its own folder downwards.
package docs

import _ "embed"

// Sockets is the page about sockets, in Markdown. Read only.
//
//go:embed sockets.md
var Sockets []byte
