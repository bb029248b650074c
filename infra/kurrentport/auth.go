package kurrentport

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"quipu/domain"
)

// role is what a caller may do.
type role uint8

const (
	roleNone role = iota
	roleRead      // reads everything, writes external streams
	roleNode      // also writes Quipu's own streams, where they are writable
)

// auth checks credentials by their hashes, in a time that does not depend on them.
type auth struct {
	checks     bool
	node, read *[sha256.Size]byte
}

func newAuth(o Options) auth {
	hash := func(s string) *[sha256.Size]byte {
		if s == "" {
			return nil
		}
		h := sha256.Sum256([]byte(s))
		return &h
	}
	return auth{checks: o.TLS != nil, node: hash(o.Credentials.Node), read: hash(o.Credentials.Read)}
}

// role says who calls. Without TLS everybody is a node, as on a server that was started insecure.
// Errors: a status UNAUTHENTICATED.
func (a *auth) role(ctx context.Context) (role, error) {
	if !a.checks {
		return roleNode, nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	for _, header := range md.Get("authorization") {
		scheme, encoded, _ := strings.Cut(header, " ")
		plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
		if !strings.EqualFold(scheme, "Basic") || err != nil {
			continue
		}
		given := sha256.Sum256(plain)
		if a.node != nil && subtle.ConstantTimeCompare(given[:], a.node[:]) == 1 {
			return roleNode, nil
		}
		if a.read != nil && subtle.ConstantTimeCompare(given[:], a.read[:]) == 1 {
			return roleRead, nil
		}
	}
	return roleNone, refuse(codes.Unauthenticated, "authorization: send the node's or the readers' user and password by basic authentication")
}

// mayAppend says whether a caller may append to a stream. Errors: a status.
func (s *Server) mayAppend(r role, whose ownership, name string) error {
	switch {
	case whose == meta:
		return refuse(codes.Unimplemented, "stream metadata is not kept: neither $maxCount, $maxAge, $tb nor $acl")
	case whose == system:
		return denied("the stream " + name + " is a system stream")
	case whose == hidden:
		return denied("the stream " + name + " is not Quipu's: leave " + s.opts.Prefix + domain.ExternalPrefix + " off its name")
	case whose == own && !s.opts.OwnWritable:
		return denied("the stream " + name + " is Quipu's own: it is read-only here")
	case whose == own && r != roleNode:
		return denied("the stream " + name + " is Quipu's own: it takes the node credential to write it")
	}
	return nil
}
