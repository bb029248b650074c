package stores

import "path/filepath"

// Folders below the data folder; those of log, keys and blobs are called the same in a backup of it.
const (
	LogFolder   = "log"
	KeysFolder  = "keys"
	BlobsFolder = "blobs"
	// ViewsFolder is for views that are not in Postgres. A backup leaves it out: views are derived.
	ViewsFolder = "views"
	// CheckpointsFolder holds how far consumers of the log have come, of a node that is alone.
	CheckpointsFolder = "checkpoints"
	// PoisonFolder holds the poison lists of a node that is alone.
	PoisonFolder = "poison"
)

// LogDir is where the embedded log lives below the data folder.
func LogDir(data string) string { return filepath.Join(data, LogFolder) }

// KeysDir is where data keys and the master key live below the data folder.
func KeysDir(data string) string { return filepath.Join(data, KeysFolder) }

// BlobsDir is where blobs live below the data folder.
func BlobsDir(data string) string { return filepath.Join(data, BlobsFolder) }

// ViewsDir is where views live below the data folder, unless they are in Postgres.
func ViewsDir(data string) string { return filepath.Join(data, ViewsFolder) }
