package webhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a delivery.
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
)

// SecretPrefix begins a secret as it is written down; base64 of the key follows.
const SecretPrefix = "whsec_"

// The least and the most bytes of a key.
const (
	KeyBytesMin = 24
	KeyBytesMax = 64
)

// ParseSecret reads a secret as operators write it. ok is false if it has another form.
func ParseSecret(text string) (k Key, ok bool) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, SecretPrefix))
	if err != nil || len(b) < KeyBytesMin || len(b) > KeyBytesMax {
		return nil, false
	}
	return b, true
}

// sign sets the three headers: one signature for each key, in order.
func sign(h http.Header, keys []Key, id string, at time.Time, body []byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(keys))
	for i, k := range keys {
		signatures[i] = signature(k, id, timestamp, body)
	}
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, timestamp)
	h.Set(HeaderSignature, strings.Join(signatures, " "))
}

func signature(k Key, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, k)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
