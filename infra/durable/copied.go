package durable

// Copied is one file of a copy.
type Copied struct {
	Name   string // slash-separated, below the folder that was copied to
	Bytes  int64
	SHA256 string // lower-case hex
}
