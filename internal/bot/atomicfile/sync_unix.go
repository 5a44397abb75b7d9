//go:build unix

package atomicfile

import (
	"errors"
	"os"
)

// SyncDir makes what was created, renamed or removed in a directory durable.
func SyncDir(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
