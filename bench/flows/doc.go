// Package flows puts load on a Quipu server from outside: it starts the real binary as a process of
// its own, lets it run flows over HTTP and tells what that cost both sides.
//
// The load generator shares the cores with the server, so it does as little as it can: requests are
// bytes made beforehand on kept-alive connections, answers are not parsed beyond what is needed.
package flows
