//go:build !unix

package datadir

import (
	"errors"
	"io/fs"
)

// takeLock refuses: without record locks and modes, nothing here could keep its promises.
func (d *Dir) takeLock() error {
	return errors.New("locking the data directory: a data directory needs a Unix system")
}

func checkOwner(string, fs.FileInfo) error { return nil }
