// Package sealing turns raw JSON from outside into domain.Values whose secrets are holes, and back.
//
// What counts as a secret (contract D10):
//   - every non-empty string below an object key whose whole words say secret (SecretKey has the
//     rules, keys_test.go the table), at any depth. Not sealed there: members that describe
//     rather than hold (type, kind, name, description, …), JSON Schema keywords under
//     "properties", and in definitions the references {"input": k}, {"depends": t} and the paths
//     of a "mapping"; ask FlowsIntoSecret for those and seal the source by Options.At.
//   - from then on, in the same run: a string that equals a known secret, and a string that holds a
//     known secret of at least KnownBytesMin bytes, plain or JSON-escaped, percent-encoded or
//     in base64 (also inside a longer base64 text). Such a string is sealed whole. Of "Bearer x"
//     and "Basic x" the bare x is known too.
//   - an object with a key that holds a known secret is sealed whole; at intake it is refused.
//
// Never sealed: numbers, booleans, empty strings. Not found: a secret cut into several strings,
// and one that was written in clear before it became known.
//
// A Run belongs to one stream and one goroutine. The secrets its Seal returns must be stored in
// the event that holds the Value; when that append does not happen, Rollback forgets them.
//
// Order of writing (design "Payloads"): Seal makes the data key and then the blobs durable
// before it returns; the append comes after, and is the caller's.
package sealing
