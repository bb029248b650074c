package sealing

import "context"

// Vault seals the secrets of streams under one data key per stream.
//
// sealingtest.Vault states this contract in tests. All methods are safe for concurrent use.
type Vault interface {
	// Seal encrypts plaintext for exactly this stream and secret id, and returns only once the
	// stream's data key is durable. A stream without secrets costs nothing.
	//
	// Shape: secretID is not empty and holds no "/"; plaintext is not kept. The associated data is
	// stream + "/" + secretID. Two calls with equal input give different ciphertexts.
	// Errors: ErrUnavailable if the key could not be stored (nothing was sealed).
	Seal(ctx context.Context, stream, secretID string, plaintext []byte) (ciphertext []byte, err error)
	// Open decrypts what Seal made for the same stream and secret id.
	//
	// Errors: ErrNotFound if the stream has no data key (any more: it was erased); ErrCorrupt if the
	// ciphertext is damaged or belongs elsewhere.
	Open(ctx context.Context, stream, secretID string, ciphertext []byte) ([]byte, error)
	// Fingerprint returns FingerprintLen lower-case hex digits: a keyed hash by which equal secrets
	// are recognised in masks, useless without the master key.
	Fingerprint(plaintext []byte) string
}

// Blobs stores contents under their SHA-256.
//
// sealingtest.Blobs states this contract in tests. Both methods are safe for concurrent use.
type Blobs interface {
	// Put stores content durably and returns its SHA-256 in lower-case hex. Storing the same
	// content again is cheap. content is not kept.
	//
	// Errors: ErrInvalid if content is over the store's limit; ErrUnavailable if it certainly
	// could not be stored durably, e.g. because the disk is full.
	Put(ctx context.Context, content []byte) (sha256hex string, err error)
	// Get returns the content, verified against its name. The slice is the caller's.
	//
	// Errors: ErrNotFound; ErrInvalid for a malformed sha; ErrCorrupt, naming the place, if what is
	// stored is not what was put.
	Get(ctx context.Context, sha256hex string) ([]byte, error)
}
