package lineage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// ErrLocked says that certbot, or another cairnbot, is at work in one of the
// directories. The words are certbot's, for scripts look for them.
//
//lint:ignore ST1005 the words are certbot's
var ErrLocked = errors.New("Another instance of Certbot is already running.")

// lockName is the file that certbot locks in each of its directories.
const lockName = ".certbot.lock"

// Locks are certbot's locks on the three directories.
type Locks struct{ files []*os.File }

// Lock takes the lock of each directory, or none. It does not wait: the error
// is ErrLocked if another process, or another part of this one, has one of them.
// The directories must exist.
func (d Dirs) Lock() (*Locks, error) {
	locks := new(Locks)
	var taken []os.FileInfo
	for _, directory := range []string{d.Config, d.Work, d.Logs} {
		info, err := os.Stat(directory)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("locking: %w", err), locks.Release())
		}
		if containsSame(taken, info) {
			continue // one directory may serve for several
		}
		file, err := lockFile(filepath.Join(directory, lockName))
		if err != nil {
			return nil, errors.Join(err, locks.Release())
		}
		taken = append(taken, info)
		locks.files = append(locks.files, file)
	}
	return locks, nil
}

// between is how often the locks are tried while somebody has them.
const between = 250 * time.Millisecond

// LockWithin is Lock that tries again until wait is over. The error is ErrLocked then.
func (d Dirs) LockWithin(ctx context.Context, wait time.Duration) (*Locks, error) {
	for end := time.Now().Add(wait); ; {
		locks, err := d.Lock()
		left := time.Until(end)
		if !errors.Is(err, ErrLocked) || left <= 0 {
			return locks, err
		}
		select {
		case <-time.After(min(left, between)):
		case <-ctx.Done():
			return nil, errors.Join(err, context.Cause(ctx))
		}
	}
}

func containsSame(list []os.FileInfo, info os.FileInfo) bool {
	for _, other := range list {
		if os.SameFile(other, info) {
			return true
		}
	}
	return false
}

// Release removes the lock files and gives up the locks. It may be called twice.
func (l *Locks) Release() error {
	var failed error
	for _, file := range l.files {
		// In this order: otherwise another process could lock the file that is about to
		// vanish, while a third makes a new one.
		failed = errors.Join(failed, removeFile(file.Name()), file.Close())
	}
	l.files = nil
	return failed
}

// lockFile opens, or makes, the file at path and locks it.
func lockFile(path string) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, fmt.Errorf("locking: %w", err)
		}
		if err := tryLock(file); err != nil {
			return nil, errors.Join(err, file.Close())
		}
		// Whoever held the lock may have removed the file since it was opened: a lock counts
		// only while its file is the one that the next process will find.
		held, err := file.Stat()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("locking: %w", err), file.Close())
		}
		if there, err := os.Stat(path); err == nil && os.SameFile(held, there) {
			return file, nil
		}
		file.Close()
	}
}
