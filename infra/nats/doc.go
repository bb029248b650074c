// Package nats is the process's one connection to NATS, and what is published over it.
//
// Connect makes the connection: it never gives up, and a server that is away is no error, since
// whoever publishes is told each time. Everyone in the process shares it; it is closed once, by who
// made it, after all of them.
//
// Publisher is a Watermill publisher into JetStream streams, which it makes if they are not there.
package nats
