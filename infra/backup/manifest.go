package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"quipu/domain"
	"quipu/infra/durable"
)

// Names in the folder of a backup.
const (
	partialName  = "backup.partial"
	manifestName = "backup.json"
	restoredName = "restored.json"
)

// Format is the version of the folder and its manifest.
const Format = 1

// ManifestBytesMax bounds what is read as a manifest: about 500,000 segments.
const ManifestBytesMax = 64 << 20

// Manifest says what a backup holds. Files lists log and keys; blobs are named by their content
// and only counted.
type Manifest struct {
	Format       int             `json:"format"`
	Quipu        string          `json:"quipu"`      // version that made it
	CreatedAt    string          `json:"created_at"` // RFC 3339, UTC
	SourceLog    domain.LogID    `json:"source_log"`
	Head         domain.Position `json:"head"` // of the newest event
	Files        []File          `json:"files"`
	Blobs        int             `json:"blobs"`
	BlobBytes    int64           `json:"blob_bytes"`
	BlobsDamaged int             `json:"blobs_damaged,omitempty"` // in the source; left out
}

// File is one file of a backup.
type File struct {
	Name   string `json:"name"` // slash-separated, below the folder
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Add lists files that were copied into a folder of the backup.
func (m *Manifest) Add(folder string, files []durable.Copied) {
	for _, f := range files {
		m.Files = append(m.Files, File{Name: folder + "/" + f.Name, Bytes: f.Bytes, SHA256: f.SHA256})
	}
}

// Bytes is the size of all that the manifest lists.
func (m *Manifest) Bytes() int64 {
	n := m.BlobBytes
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

// Read returns the manifest of the backup in dir, which no server has opened yet; !found if dir is no
// such backup.
//
// Errors: ErrRefused, code BACKUP_PARTIAL, if making the backup was broken off; ErrCorrupt if the
// manifest cannot be understood; ErrUnavailable if it cannot be read.
func Read(dir string) (m Manifest, found bool, err error) {
	if _, err := os.Lstat(filepath.Join(dir, partialName)); err == nil {
		return m, false, domain.E(domain.KindRefused, "open backup", dir,
			"making this backup was broken off, so it is not complete; make another and remove this folder").WithCode("BACKUP_PARTIAL")
	} else if !errors.Is(err, fs.ErrNotExist) {
		return m, false, durable.Failure("open backup", dir, err)
	}
	path := filepath.Join(dir, manifestName)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, false, durable.Failure("open backup", path, err)
	}
	if info.Size() > ManifestBytesMax {
		return m, false, corrupt(path, fmt.Sprintf("has %d bytes, at most %d are allowed", info.Size(), ManifestBytesMax))
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return m, false, durable.Failure("open backup", path, err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, false, corrupt(path, "is not the manifest of a backup: "+err.Error())
	}
	if m.Format != Format {
		return m, false, corrupt(path, fmt.Sprintf("is of format %d, this version knows %d", m.Format, Format))
	}
	for _, f := range m.Files {
		if !filepath.IsLocal(filepath.FromSlash(f.Name)) {
			return m, false, corrupt(path, fmt.Sprintf("names the file %q outside of the backup", f.Name))
		}
	}
	return m, true, nil
}

func corrupt(path, what string) error {
	return domain.E(domain.KindCorrupt, "open backup", path, what)
}
