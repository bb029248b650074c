package vault

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"strings"

	"quipu/domain"
	"quipu/infra/durable"
)

// Table keeps wrapped data keys, one per stream. Safe for concurrent use.
type Table interface {
	// Get returns the stream's wrapped key; ErrNotFound if there is none (any more).
	Get(ctx context.Context, stream string) ([]byte, error)
	// Create stores wrapped durably unless the stream has a key, and returns the key it has then.
	Create(ctx context.Context, stream string, wrapped []byte) ([]byte, error)
}

// OpenedKeysMaxDefault is the default of Options.OpenedKeysMax.
const OpenedKeysMaxDefault = 4096

// Options of a Vault. The zero value is the default.
type Options struct {
	// OpenedKeysMax is how many data keys are kept ready in memory; default OpenedKeysMaxDefault.
	OpenedKeysMax int
	// MasterFile holds the master key, and must exist. Default: master.key in the vault's folder, made
	// at first start.
	MasterFile string
}

// Vault is sealing.Vault over a master key and a key table.
type Vault struct {
	master *Master
	table  Table
	opened cache
	closer io.Closer
}

// New makes a vault over any table.
func New(master *Master, table Table, options Options) (*Vault, error) {
	if master == nil || table == nil {
		panic("vault: New needs a master key and a table")
	}
	if options.OpenedKeysMax < 0 {
		return nil, domain.E(domain.KindInvalid, "open vault", "", "opened_keys_max is negative").WithField("opened_keys_max")
	}
	if options.OpenedKeysMax == 0 {
		options.OpenedKeysMax = OpenedKeysMaxDefault
	}
	return &Vault{master: master, table: table, opened: newCache(options.OpenedKeysMax)}, nil
}

// Open opens the vault in the folder dir, making the folder, the master key and the key table at
// first start. One process at a time.
//
// Errors: ErrRefused if the master key can be read by others, is missing while wrapped keys exist, or
// is not the one that wrapped them, or if another process has the vault open; ErrInvalid if
// the master key is malformed; ErrCorrupt, with the place, if the key table is damaged before its
// end; ErrUnavailable if the folder cannot be used.
func Open(dir string, options Options) (*Vault, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, durable.Failure("open vault", dir, err)
	}
	if err := durable.SyncDir(filepath.Dir(dir)); err != nil {
		return nil, durable.Failure("open vault", dir, err)
	}
	table, err := openTable(filepath.Join(dir, tableName))
	if err != nil {
		return nil, err
	}
	v, err := open(dir, table, options)
	if err != nil {
		_ = table.Close() // the first error says why
		return nil, err
	}
	return v, nil
}

func open(dir string, table *fileTable, options Options) (*Vault, error) {
	master, err := loadMaster(dir, options.MasterFile, len(table.index) > 0)
	if err != nil {
		return nil, err
	}
	for id := range table.masters {
		if id != master.id {
			return nil, domain.E(domain.KindRefused, "open vault", dir, "the master key is not the key that wrapped the keys in keys.table")
		}
	}
	v, err := New(master, table, options)
	if err == nil {
		v.closer = table
	}
	return v, err
}

// Close releases the key table. Idempotent.
func (v *Vault) Close() error {
	if v.closer == nil {
		return nil
	}
	return v.closer.Close()
}

// formatGCM is the first byte of everything encrypted here: AES-256-GCM, nonce first.
const formatGCM = 1

// Seal implements sealing.Vault.
func (v *Vault) Seal(ctx context.Context, stream, secretID string, plaintext []byte) ([]byte, error) {
	if err := checkNames(ctx, "seal secret of", stream, secretID); err != nil {
		return nil, err
	}
	key, err := v.key(ctx, stream, true)
	if err != nil {
		return nil, err
	}
	return encrypt(key, plaintext, []byte(stream+"/"+secretID)), nil
}

// Open implements sealing.Vault.
func (v *Vault) Open(ctx context.Context, stream, secretID string, ciphertext []byte) ([]byte, error) {
	if err := checkNames(ctx, "open secret of", stream, secretID); err != nil {
		return nil, err
	}
	key, err := v.key(ctx, stream, false)
	if err != nil {
		return nil, err
	}
	plaintext, ok := decrypt(key, ciphertext, []byte(stream+"/"+secretID))
	if !ok {
		return nil, domain.E(domain.KindCorrupt, "open secret of", stream, secretID+" is damaged or belongs elsewhere")
	}
	return plaintext, nil
}

// Fingerprint implements sealing.Vault.
func (v *Vault) Fingerprint(plaintext []byte) string { return v.master.fingerprint(plaintext) }

// checkNames guards the associated data: with a "/" in the id two pairs could look alike.
func checkNames(ctx context.Context, op, stream, secretID string) error {
	if err := durable.ContextError(ctx, op, stream); err != nil {
		return err
	}
	if secretID == "" || strings.Contains(secretID, "/") {
		return domain.E(domain.KindInvalid, op, stream, "a secret id is not empty and holds no \"/\"")
	}
	return nil
}

// key returns the stream's data key, made if create is set.
func (v *Vault) key(ctx context.Context, stream string, create bool) (cipher.AEAD, error) {
	if key, ok := v.opened.get(stream); ok {
		return key, nil
	}
	wrapped, err := v.table.Get(ctx, stream)
	if create && domain.KindOf(err) == domain.KindNotFound && err != nil {
		var fresh [keyBytes]byte
		_, _ = rand.Read(fresh[:]) // never fails (crypto/rand since Go 1.24)
		wrapped, err = v.table.Create(ctx, stream, v.master.wrapKey(stream, fresh[:]))
	}
	if err != nil {
		return nil, err
	}
	secret, ok := v.master.unwrapKey(stream, wrapped)
	if !ok {
		return nil, domain.E(domain.KindCorrupt, "open data key of", stream, "it is damaged or belongs elsewhere")
	}
	key, err := newAEAD(secret)
	if err != nil {
		return nil, err
	}
	v.opened.put(stream, key)
	return key, nil
}

// wrapKey encrypts a data key for its stream: master id, then ciphertext.
func (m *Master) wrapKey(stream string, secret []byte) []byte {
	return append(bytes.Clone(m.id[:]), encrypt(m.wrap, secret, []byte("data key of "+stream))...)
}

func (m *Master) unwrapKey(stream string, wrapped []byte) ([]byte, bool) {
	rest, ok := bytes.CutPrefix(wrapped, m.id[:])
	if !ok {
		return nil, false
	}
	return decrypt(m.wrap, rest, []byte("data key of "+stream))
}

func newAEAD(secret []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, domain.Wrap(domain.KindInternal, "make cipher", "", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, domain.Wrap(domain.KindInternal, "make cipher", "", err)
	}
	return aead, nil
}

func encrypt(key cipher.AEAD, plaintext, associated []byte) []byte {
	out := make([]byte, 1, 1+len(plaintext)+key.Overhead())
	out[0] = formatGCM
	return key.Seal(out, nil, plaintext, associated)
}

func decrypt(key cipher.AEAD, ciphertext, associated []byte) ([]byte, bool) {
	if len(ciphertext) == 0 || ciphertext[0] != formatGCM {
		return nil, false
	}
	plaintext, err := key.Open([]byte{}, nil, ciphertext[1:], associated)
	return plaintext, err == nil
}
