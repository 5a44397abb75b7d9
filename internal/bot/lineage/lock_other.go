//go:build !linux

package lineage

import (
	"errors"
	"fmt"
	"os"
)

// tryLock fails: only Linux is supported so far.
func tryLock(file *os.File) error {
	return fmt.Errorf("locking %s: %w", file.Name(), errors.ErrUnsupported)
}
