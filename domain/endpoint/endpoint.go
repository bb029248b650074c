// Package endpoint holds the one event of endpoints: places that workflows are reached at
// (contract D15).
//
// Each endpoint is a stream of its own. Its key is shown once, when it is made; the log keeps its
// hash alone.
package endpoint

import (
	"crypto/sha256"
	"encoding/hex"

	"quipu/domain"
)

// StreamPrefix starts the id of every endpoint's stream.
const StreamPrefix = "endpoint-"

// SlugBytesMax is the longest slug in bytes.
const SlugBytesMax = 64

// Created is the first event of every endpoint.
type Created struct {
	ID      string // "<slug>-<8 hex digits>"
	Slug    string
	KeyHash string // lower-case hex SHA-256 of the key
}

// Stream is the stream of an endpoint.
func Stream(id string) domain.StreamID { return domain.StreamID(StreamPrefix + id) }

// HashKey is what is kept of a key.
func HashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// CheckSlug reports why s cannot be a slug: 1..SlugBytesMax lower-case letters, digits and inner
// hyphens. Errors: ErrUnprocessable naming slug.
func CheckSlug(s string) error {
	bad := func(fault string) error {
		return domain.E(domain.KindUnprocessable, "", "", fault+"; write 1 to 64 lower-case letters, digits and inner hyphens, such as coffee-shop").
			WithField("slug").WithCode("INVALID_SLUG")
	}
	switch {
	case s == "":
		return bad("is empty")
	case len(s) > SlugBytesMax:
		return bad("is too long")
	case s[0] == '-' || s[len(s)-1] == '-':
		return bad("begins or ends with a hyphen")
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return bad("has a character that is not allowed")
		}
	}
	return nil
}
