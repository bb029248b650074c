//go:build !unix

package vault

import "os"

// lock does nothing where there is no flock; the data folder's own lock keeps others out.
func lock(*os.File) error { return nil }
