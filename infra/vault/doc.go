// Package vault keeps the keys that seal secrets (ADR 0004).
//
//	master.key   32 random bytes in hex, made at first start; keep it apart from backups
//	keys.table   one data key per stream with secrets, wrapped by the master key, append-only
//
// From the master key three keys are derived (HKDF-SHA-256): one wraps data keys, one makes
// fingerprints, one value only names the master. Everything is AES-256-GCM with random nonces.
// A stream without secrets costs nothing here.
package vault
