// Package sealingtest states the contracts of sealing.Vault and sealing.Blobs in tests that run
// over every adapter.
package sealingtest

import (
	"testing"

	"quipu/commands/sealing"
)

// VaultFactory opens a fresh vault. reopen closes it and opens it again over the same storage;
// nil if the adapter does not outlive its process.
type VaultFactory func(t testing.TB) (v sealing.Vault, reopen func() sealing.Vault)

// BlobsFactory opens a fresh store; reopen as in VaultFactory.
type BlobsFactory func(t testing.TB) (b sealing.Blobs, reopen func() sealing.Blobs)

// Vault runs the suite for vaults.
func Vault(t *testing.T, open VaultFactory) { runAll(t, vaultCases, open) }

// Blobs runs the suite for blob stores.
func Blobs(t *testing.T, open BlobsFactory) { runAll(t, blobsCases, open) }

// suiteCase is one sentence of a contract.
type suiteCase[F any] struct {
	name string
	run  func(testing.TB, F)
}

func runAll[F any](t *testing.T, cases []suiteCase[F], open F) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open)
		})
	}
}
