package vault

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"quipu/domain"
	"quipu/infra/durable"
)

const (
	keyBytes      = 32
	masterIDBytes = 8
)

// Master is the key above all others, as the keys derived from it.
type Master struct {
	id           [masterIDBytes]byte // names the master in the key table
	wrap         cipher.AEAD
	fingerprints []byte
}

// NewMaster derives the keys. Errors: ErrInvalid unless secret has 32 bytes.
func NewMaster(secret []byte) (*Master, error) {
	if len(secret) != keyBytes {
		return nil, domain.E(domain.KindInvalid, "master key", "", fmt.Sprintf("has %d bytes, %d are needed", len(secret), keyBytes))
	}
	m := &Master{}
	derive := func(info string, n int) ([]byte, error) {
		return hkdf.Key(sha256.New, secret, nil, "quipu 1 "+info, n)
	}
	id, err1 := derive("master id", masterIDBytes)
	wrap, err2 := derive("wrap", keyBytes)
	fingerprints, err3 := derive("fingerprint", keyBytes)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, domain.Wrap(domain.KindInternal, "master key", "", err)
	}
	copy(m.id[:], id)
	m.fingerprints = fingerprints
	var err error
	m.wrap, err = newAEAD(wrap)
	return m, err
}

// fingerprint is the first 4 bytes of HMAC-SHA-256 in hex: enough to tell a run's secrets apart,
// too little to test guesses by, even with the key.
func (m *Master) fingerprint(plaintext []byte) string {
	h := hmac.New(sha256.New, m.fingerprints)
	_, _ = h.Write(plaintext) // a hash never fails to write
	return hex.EncodeToString(h.Sum(nil)[:4])
}

// ID names the master key and gives nothing of it away. Equal keys have equal ids.
func (m *Master) ID() []byte { return append([]byte(nil), m.id[:]...) }

// LoadMaster reads the master key of a vault that keeps its data keys elsewhere than in dir: from file,
// which must exist, or if that is "" from dir's master.key, which is made at first start unless wrapped
// keys exist that only the missing one could open.
// Errors: ErrRefused if it can be read by others or is missing; ErrInvalid if it is malformed;
// ErrUnavailable.
func LoadMaster(dir, file string, wrappedKeysExist bool) (*Master, error) {
	if file == "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, durable.Failure("open vault", dir, err)
		}
	}
	return loadMaster(dir, file, wrappedKeysExist)
}

func loadMaster(dir, file string, wrappedKeysExist bool) (*Master, error) {
	path := file
	if path == "" {
		path = filepath.Join(dir, "master.key")
	}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && file != "":
		return nil, domain.E(domain.KindRefused, "open vault", path,
			"there is no such file; make one of 64 hex digits (openssl rand -hex 32), the same for all nodes, or leave --master-key-file empty")
	case errors.Is(err, fs.ErrNotExist) && wrappedKeysExist:
		return nil, domain.E(domain.KindRefused, "open vault", path,
			"the master key is missing but wrapped keys exist; put the key back, backups do not hold it")
	case errors.Is(err, fs.ErrNotExist):
		if b, err = createMaster(dir, path); err != nil {
			return nil, durable.Failure("create master key", path, err)
		}
	case err != nil:
		return nil, durable.Failure("open vault", path, err)
	default:
		if err := checkMode(path); err != nil {
			return nil, err
		}
	}
	secret, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(secret) != keyBytes {
		// Not the hex error: it quotes a character of the key.
		return nil, domain.E(domain.KindInvalid, "open vault", path, fmt.Sprintf("must hold %d hex digits", 2*keyBytes))
	}
	return NewMaster(secret)
}

// checkMode refuses a key that others on the machine can read.
func checkMode(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return durable.Failure("open vault", path, err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return domain.E(domain.KindRefused, "open vault", path, fmt.Sprintf("has mode %04o and can be read by others; run chmod 600 on it", mode))
	}
	return nil
}

// createMaster writes a new key so that a crash leaves either none or a whole one.
func createMaster(dir, path string) ([]byte, error) {
	var secret [keyBytes]byte
	_, _ = rand.Read(secret[:]) // never fails (crypto/rand since Go 1.24)
	b := []byte(hex.EncodeToString(secret[:]) + "\n")
	if err := durable.WriteFile(dir, path, b); err != nil {
		return nil, err
	}
	return b, durable.SyncDir(dir)
}
