package memory

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"quipu/domain"
)

// Blobs is sealing.Blobs in memory: the reference for tests.
type Blobs struct {
	mu       sync.Mutex
	contents map[[32]byte][]byte
}

// NewBlobs returns an empty store.
func NewBlobs() *Blobs { return &Blobs{contents: make(map[[32]byte][]byte)} }

// Put implements sealing.Blobs.
func (b *Blobs) Put(ctx context.Context, content []byte) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", domain.Wrap(domain.KindCanceled, "put blob", "", err)
	}
	sum := sha256.Sum256(content)
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.contents[sum]; !ok {
		b.contents[sum] = append([]byte{}, content...)
	}
	return hex.EncodeToString(sum[:]), nil
}

// Get implements sealing.Blobs.
func (b *Blobs) Get(ctx context.Context, sha string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, domain.Wrap(domain.KindCanceled, "get blob", sha, err)
	}
	sum, err := hex.DecodeString(sha)
	if err != nil || len(sum) != sha256.Size || hex.EncodeToString(sum) != sha {
		return nil, domain.E(domain.KindInvalid, "get blob", "", "the name is not a lower-case hex SHA-256")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	content, ok := b.contents[[32]byte(sum)]
	if !ok {
		return nil, domain.E(domain.KindNotFound, "get blob", sha, "")
	}
	return bytes.Clone(content), nil
}

// Len is the number of different contents.
func (b *Blobs) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.contents)
}
