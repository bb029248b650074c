package guard

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// Key is one key and whose it is.
type Key struct {
	Name   string
	SHA256 [sha256.Size]byte // of the key
}

// headerKey and subprotocolKey are how clients send a key, beside Authorization: Bearer. The
// subprotocol is for pages of browsers, which cannot set headers of sockets.
const (
	headerKey      = "x-api-key"
	subprotocolKey = "x-api-key."
	schemeBearer   = "bearer "
)

// offered is the key that came along, "" if none did, and the subprotocol with a key, if there is one.
func offered(c *fiber.Ctx, socket bool) (key, subprotocol string) {
	if socket {
		for s := range strings.SplitSeq(c.Get(fiber.HeaderSecWebSocketProtocol), ",") {
			if s = strings.TrimSpace(s); strings.HasPrefix(s, subprotocolKey) {
				subprotocol = s
				break
			}
		}
	}
	if key = c.Get(headerKey); key != "" {
		return key, subprotocol
	}
	if a := c.Get(fiber.HeaderAuthorization); len(a) > len(schemeBearer) && strings.EqualFold(a[:len(schemeBearer)], schemeBearer) {
		return strings.TrimSpace(a[len(schemeBearer):]), subprotocol
	}
	return strings.TrimPrefix(subprotocol, subprotocolKey), subprotocol
}

// find looks a key up. It compares digests with every key there is, so that the time it takes says
// nothing about any of them.
func find(keys []Key, key string) (name string, known bool) {
	if len(keys) == 0 || key == "" {
		return "", false
	}
	sum := sha256.Sum256([]byte(key))
	at := -1
	for i := range keys {
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], keys[i].SHA256[:]), i, at)
	}
	if at < 0 {
		return "", false
	}
	return keys[at].Name, true
}
