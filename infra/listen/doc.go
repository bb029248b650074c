// Package listen opens the TCP listener of a server whose stop no client is to notice as an error.
//
// Closing a listening socket resets every connection that the system has completed and the server
// has not accepted yet: a client has connected, has perhaps sent its request, and is answered with a
// reset, although a moment later it would have been refused and gone to another node. The Close of
// this package's listener lets the server accept those that wait and closes in an instant at which
// none does.
package listen
