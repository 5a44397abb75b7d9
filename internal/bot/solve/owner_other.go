//go:build !unix

package solve

import (
	"io/fs"
	"os"
)

// giveTo does nothing: a directory inherits its rights from the one above it.
func giveTo(*os.Root, string, fs.FileInfo) error { return nil }
