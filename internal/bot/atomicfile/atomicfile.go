// Package atomicfile puts whole files in their places: after a crash the old content is there, or the new, never a
// part of either. A file is private from its creation, and gets its mode before it gets its content.
package atomicfile

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Temporary begins the names of files that are not whole yet. A crash leaves such a file; whoever owns the directory
// may remove it while nobody writes there.
const Temporary = ".cairnbot-tmp-"

// File is how a file is written. The zero value makes one of mode 0 that is on the disk before it takes its name.
type File struct {
	Mode fs.FileMode
	// Prepare, if any, sees the file while it is empty and has mode 0600: it may give it an owner, a group or a time.
	Prepare func(*os.File) error
	// Alone promises that nobody else writes to the same path meanwhile. Then the unfinished file has the same name each
	// time, and of many crashes one is left at most, in a directory that nobody sweeps.
	Alone bool
	// Unsynced leaves it to the system when the file gets to the disk: the power may take back what was written.
	Unsynced bool
}

// Replace puts content in place of path, durably.
func Replace(path string, content []byte, mode fs.FileMode) error {
	return File{Mode: mode}.Replace(path, bytes.NewReader(content))
}

// Create makes path, which must not exist (fs.ErrExist), durably. After a crash it is there whole or not at all.
func Create(path string, content []byte, mode fs.FileMode) error {
	staged, err := File{Mode: mode}.Stage(path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	defer os.Remove(staged)
	if err := os.Link(staged, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// ErrDevice says that a path leads to something that must not be replaced by a file: root could take /dev/null away.
var ErrDevice = errors.New("it is a device, a pipe or a socket, and not a file that can be replaced")

// Replaceable reports an error where what is at a path, as Lstat sees it, must not be replaced.
func Replaceable(info fs.FileInfo) error {
	if info.Mode()&(fs.ModeDevice|fs.ModeCharDevice|fs.ModeNamedPipe|fs.ModeSocket) != 0 {
		return fmt.Errorf("%s: %w", info.Name(), ErrDevice)
	}
	return nil
}

// Replace puts what content gives in place of path.
func (f File) Replace(path string, content io.Reader) error {
	if info, err := os.Lstat(path); err == nil {
		if err := Replaceable(info); err != nil {
			return err
		}
	}
	staged, err := f.Stage(path, content)
	if err != nil {
		return err
	}
	if err := os.Rename(staged, path); err != nil {
		return errors.Join(err, os.Remove(staged))
	}
	if f.Unsynced {
		return nil
	}
	return SyncDir(filepath.Dir(path))
}

// Stage writes the file under a temporary name beside path, and gives that name.
func (f File) Stage(path string, content io.Reader) (staged string, err error) {
	file, err := f.create(path)
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	if f.Prepare != nil {
		if err := f.Prepare(file); err != nil {
			return "", err
		}
	}
	if err := file.Chmod(f.Mode); err != nil {
		return "", err
	}
	if _, err := io.Copy(file, content); err != nil {
		return "", err
	}
	if f.Unsynced {
		return file.Name(), nil
	}
	return file.Name(), file.Sync()
}

// create makes the empty file, of mode 0600.
func (f File) create(path string) (*os.File, error) {
	if !f.Alone {
		return os.CreateTemp(filepath.Dir(path), Temporary+"*")
	}
	// The name is hashed because a longer one than that of path might be too long for the file system.
	sum := sha256.Sum256([]byte(filepath.Base(path)))
	next := filepath.Join(filepath.Dir(path), fmt.Sprintf("%s%x", Temporary, sum[:8]))
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) { // what a crash left
		return nil, err
	}
	return os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}
