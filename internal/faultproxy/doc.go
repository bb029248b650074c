// Package faultproxy is a TCP proxy whose network can be made worse, for tests.
//
// New listens on a free port of the loopback address and passes connections on to a target. Set changes how
// it behaves, for connections that are open and for those to come, in each direction: let bytes pass, delay
// them, slow them down, or swallow them, so that a connection looks open and is dead (half-open). Refuse
// turns new connections away, Cut resets those that are open. The target may change, and need not be there.
package faultproxy
