// Package channel holds the one event of channels: named streams of messages that runs publish and wait
// for (contract C.3).
//
// A channel needs no creation: its first message makes it. Whoever waits gets the first message recorded
// after it began to.
package channel

import (
	"crypto/sha256"
	"encoding/hex"

	"quipu/domain"
)

// StreamPrefix starts the id of every channel's stream.
const StreamPrefix = "channel-"

// Message is an event of a channel; its offset in the stream is its id.
type Message struct {
	Channel string
	Payload domain.Value // any JSON
	Secrets []domain.Secret
}

// Stream is the stream of a channel. Names may hold anything, so the id is made of a hash.
func Stream(name string) domain.StreamID {
	sum := sha256.Sum256([]byte(name))
	return domain.StreamID(StreamPrefix + hex.EncodeToString(sum[:16]))
}
