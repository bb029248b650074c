package intakehttp

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
)

// HeaderIdempotencyKey makes repeats of a POST one request (contract D20).
const HeaderIdempotencyKey = "Idempotency-Key"

// idempotencyKeyBytesMax is the longest key.
const idempotencyKeyBytesMax = 255

// repeat says which request this is, if its client sent a key. Nothing is kept about keys: what a request
// makes has an id, or its command one, that is derived from who asks, the route and the key, so that a
// repeat meets what is there.
type repeat struct {
	key  string // 64 hex digits; "" without a key
	body string // hex SHA-256 of the body
}

// repeatOf reads the key of a request. Errors: ErrInvalid naming the header.
func repeatOf(c *fiber.Ctx, body []byte) (repeat, error) {
	sum := sha256.Sum256(body)
	r := repeat{body: hex.EncodeToString(sum[:])}
	key := c.Get(HeaderIdempotencyKey)
	if key == "" {
		return r, nil
	}
	if len(key) > idempotencyKeyBytesMax || !printable(key) {
		return r, domain.E(domain.KindInvalid, "", "", "must have 1 to 255 printable ASCII characters").
			WithField("header/" + HeaderIdempotencyKey).WithCode("INVALID_KEY")
	}
	who := actor(c, "")
	hash := sha256.New()
	for _, part := range []string{string(who.Kind), who.ID, c.Method(), strings.TrimSuffix(c.Path(), "/"), key} {
		hash.Write([]byte(part))
		hash.Write([]byte{0})
	}
	r.key = hex.EncodeToString(hash.Sum(nil))
	return r, nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// id is that of what the request makes, a UUIDv8; "" without a key.
func (r repeat) id() string {
	if r.key == "" {
		return ""
	}
	return domain.UUIDv8(sha256.Sum256([]byte("idempotency\x00" + r.key))).String()
}
