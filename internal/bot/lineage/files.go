package lineage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
)

// ours begins the name of whatever this package makes beside certbot's files.
// Certbot looks at none of them: it matches *.conf in renewal, KINDn.pem in the
// archive, and by full name everywhere else.
const ours = ".cairnbot-"

// makeDir makes path with exactly that mode whatever the umask, and leaves it
// as it is where it exists: its owner may have other wishes.
func makeDir(path string, mode fs.FileMode) error {
	err := os.Mkdir(path, mode)
	if errors.Is(err, fs.ErrExist) {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return nil
		}
		return fmt.Errorf("%s is in the way: it is not a directory", path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeDir(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		err = os.Mkdir(path, mode)
	}
	if err != nil {
		return err
	}
	if err := os.Chmod(path, mode); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(path))
}

// sweepTemporary removes the unfinished files of a directory that may not exist.
func sweepTemporary(directory string) error {
	entries, err := os.ReadDir(directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), atomicfile.Temporary) && !entry.IsDir() {
			err = errors.Join(err, removeFile(filepath.Join(directory, entry.Name())))
		}
	}
	return err
}

// removeFile removes a file that may be gone already.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// exists reports whether there is anything at path, be it a dangling link.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
