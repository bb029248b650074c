// Package readapi serves what the log and the views hold: live sockets, queries, and the one table
// of errors.
//
// Live serves /ws/:flow/:run, the LAO socket (contract S0, D2–D5, D27). The path of one socket:
// upgrade.go checks the request before the handshake; live.go keeps the registry, the limits and
// the shutdown; socket.go owns the connection with one reader (the handler) and one writer, which
// is joined before the handler returns; session.go decides which run is shown and from where, and
// is the only part that knows runs and names; package lao renders.
//
// Nothing here writes to the log.
package readapi
