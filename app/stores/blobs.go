package stores

import (
	"quipu/commands"
	"quipu/infra/blobs"
)

// OpenBlobs is blobs.Open of the data folder's as a port: a nil of its type would not be a nil port.
func OpenBlobs(data string) (commands.Blobs, error) {
	store, err := blobs.Open(BlobsDir(data), blobs.Options{})
	if err != nil {
		return nil, err
	}
	return store, nil
}
