package memory

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync"

	"quipu/domain"
)

// Vault is sealing.Vault in memory: real encryption, keys that vanish with the process.
type Vault struct {
	fingerprints []byte
	mu           sync.Mutex
	keys         map[string]cipher.AEAD
}

// NewVault returns a vault with a random master key.
func NewVault() *Vault {
	return &Vault{fingerprints: randomKey(), keys: make(map[string]cipher.AEAD)}
}

func randomKey() []byte {
	k := make([]byte, 32)
	_, _ = rand.Read(k) // never fails (crypto/rand, Go 1.24)
	return k
}

// Seal implements sealing.Vault.
func (v *Vault) Seal(ctx context.Context, stream, secretID string, plaintext []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, domain.Wrap(domain.KindCanceled, "seal secret of", stream, err)
	}
	if secretID == "" || strings.Contains(secretID, "/") {
		return nil, domain.E(domain.KindInvalid, "seal secret of", stream, "bad secret id")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	aead, ok := v.keys[stream]
	if !ok {
		block, err := aes.NewCipher(randomKey())
		if err == nil {
			aead, err = cipher.NewGCMWithRandomNonce(block)
		}
		if err != nil {
			return nil, domain.Wrap(domain.KindInternal, "seal secret of", stream, err)
		}
		v.keys[stream] = aead
	}
	return aead.Seal(nil, nil, plaintext, []byte(stream+"/"+secretID)), nil
}

// Open implements sealing.Vault.
func (v *Vault) Open(ctx context.Context, stream, secretID string, ciphertext []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, domain.Wrap(domain.KindCanceled, "open secret of", stream, err)
	}
	v.mu.Lock()
	aead, ok := v.keys[stream]
	v.mu.Unlock()
	if !ok {
		return nil, domain.E(domain.KindNotFound, "open secret of", stream, "the stream has no data key")
	}
	plaintext, err := aead.Open(nil, nil, ciphertext, []byte(stream+"/"+secretID))
	if err != nil {
		return nil, domain.E(domain.KindCorrupt, "open secret of", stream, secretID+" is damaged or belongs elsewhere")
	}
	return plaintext, nil
}

// Fingerprint implements sealing.Vault.
func (v *Vault) Fingerprint(plaintext []byte) string {
	m := hmac.New(sha256.New, v.fingerprints)
	_, _ = m.Write(plaintext) // a hash never fails to write
	return hex.EncodeToString(m.Sum(nil)[:4])
}

// Erase forgets the data key of stream.
func (v *Vault) Erase(_ context.Context, stream string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.keys, stream)
	return nil
}
