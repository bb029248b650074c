package domain

// Secret is a sealed string that entered a stream with the event that lists it. Its associated data
// is stream and id, so it can be opened for nothing else.
type Secret struct {
	ID         string // unique in the stream: "s1", "s2", …
	FP         string // short keyed fingerprint, shown in masks
	Ciphertext string // base64; "" if it stands in a blob
	Blob       string // hex SHA-256 of the blob that holds a large ciphertext
	Bytes      int64  // size of that blob
}
