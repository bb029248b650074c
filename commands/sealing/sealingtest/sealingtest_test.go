package sealingtest

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/commands/sealing"
	"quipu/infra/memory"
	"quipu/internal/faultytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	t.Run("Vault", func(t *testing.T) {
		Vault(t, func(testing.TB) (sealing.Vault, func() sealing.Vault) { return memory.NewVault(), nil })
	})
	t.Run("Blobs", func(t *testing.T) {
		Blobs(t, func(testing.TB) (sealing.Blobs, func() sealing.Blobs) { return memory.NewBlobs(), nil })
	})
}

// Faulty adapters must fail the case that is there for them.
func TestVault_FindsFaults(t *testing.T) {
	for name, f := range map[string]struct {
		finds string
		spoil func(*faultyVault)
	}{
		"ignores the secret id": {"Open_OnlyInItsPlace", func(v *faultyVault) { v.id = func(string) string { return "s1" } }},
		"ignores the stream":    {"Open_OnlyInItsPlace", func(v *faultyVault) { v.stream = func(string) string { return "run" } }},
		"does not encrypt":      {"Seal_HidesThePlaintext", func(v *faultyVault) { v.clear = true }},
		"long fingerprint":      {"Fingerprint_IsStableAndShort", func(v *faultyVault) { v.suffix = "0" }},
	} {
		t.Run(name, func(t *testing.T) {
			require.True(t, faultytest.Fails(t, func(tb testing.TB) {
				named(vaultCases, f.finds).run(tb, func(testing.TB) (sealing.Vault, func() sealing.Vault) {
					v := &faultyVault{Vault: memory.NewVault()}
					f.spoil(v)
					return v, nil
				})
			}))
		})
	}
}

type faultyVault struct {
	sealing.Vault
	id, stream func(string) string
	clear      bool
	suffix     string
}

func (v *faultyVault) place(stream, id string) (string, string) {
	if v.id != nil {
		id = v.id(id)
	}
	if v.stream != nil {
		stream = v.stream(stream)
	}
	return stream, id
}

func (v *faultyVault) Seal(ctx context.Context, stream, id string, plaintext []byte) ([]byte, error) {
	if v.clear {
		return plaintext, nil
	}
	stream, id = v.place(stream, id)
	return v.Vault.Seal(ctx, stream, id, plaintext)
}

func (v *faultyVault) Open(ctx context.Context, stream, id string, ciphertext []byte) ([]byte, error) {
	stream, id = v.place(stream, id)
	return v.Vault.Open(ctx, stream, id, ciphertext)
}

func (v *faultyVault) Fingerprint(plaintext []byte) string {
	return v.Vault.Fingerprint(plaintext) + v.suffix
}

func TestBlobs_FindsFaults(t *testing.T) {
	for finds, wrap := range map[string]func(sealing.Blobs) sealing.Blobs{
		"Put_KeepsNothingOfTheCaller": func(sealing.Blobs) sealing.Blobs { return &sharing{} },
		"Get_BadNameIsInvalid":        func(b sealing.Blobs) sealing.Blobs { return missing{b} },
		"Put_GivesTheSameBytesBack":   func(b sealing.Blobs) sealing.Blobs { return cutting{b} },
	} {
		t.Run(finds, func(t *testing.T) {
			require.True(t, faultytest.Fails(t, func(tb testing.TB) {
				named(blobsCases, finds).run(tb, func(testing.TB) (sealing.Blobs, func() sealing.Blobs) { return wrap(memory.NewBlobs()), nil })
			}))
		})
	}
}

// sharing keeps and hands out the caller's slice.
type sharing struct{ content []byte }

func (s *sharing) Put(_ context.Context, content []byte) (string, error) {
	s.content = content
	return nameOf(content), nil
}
func (s *sharing) Get(context.Context, string) ([]byte, error) { return s.content, nil }

// missing reports every error as a name that is not there.
type missing struct{ sealing.Blobs }

func (m missing) Get(ctx context.Context, name string) ([]byte, error) {
	b, err := m.Blobs.Get(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("not found")
	}
	return b, nil
}

// cutting loses the last byte.
type cutting struct{ sealing.Blobs }

func (c cutting) Get(ctx context.Context, name string) ([]byte, error) {
	b, err := c.Blobs.Get(ctx, name)
	return b[:max(0, len(b)-1)], err
}

// named returns the case called name.
func named[F any](cases []suiteCase[F], name string) suiteCase[F] {
	for _, c := range cases {
		if c.name == name {
			return c
		}
	}
	panic("no case " + name)
}
