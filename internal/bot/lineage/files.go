package lineage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ours begins the name of whatever this package makes beside certbot's files.
// Certbot looks at none of them: it matches *.conf in renewal, KINDn.pem in the
// archive, and by full name everywhere else.
const ours = ".cairnbot-"

// temporary begins the names of files that are not finished. Recover removes them.
const temporary = ours + "tmp-"

// stage writes a file under a temporary name beside path, durably, and gives
// that name. The file is never more open than mode. prepare, if any, sees it
// while it is still empty and private.
func stage(path string, content []byte, mode fs.FileMode, prepare func(*os.File) error) (staged string, err error) {
	file, err := os.CreateTemp(filepath.Dir(path), temporary+"*") // 0600
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			os.Remove(file.Name())
		}
	}()
	if prepare != nil {
		if err := prepare(file); err != nil {
			return "", err
		}
	}
	if err := file.Chmod(mode); err != nil {
		return "", err
	}
	if _, err := file.Write(content); err != nil {
		return "", err
	}
	return file.Name(), file.Sync()
}

// ReplaceFile is replaceFile, for files of ours that are no part of a lineage.
func ReplaceFile(path string, content []byte, mode fs.FileMode) error {
	return replaceFile(path, content, mode)
}

// replaceFile puts content in place of path. After a crash the old file is
// there, or the new one, whole.
func replaceFile(path string, content []byte, mode fs.FileMode) error {
	staged, err := stage(path, content, mode, nil)
	if err != nil {
		return err
	}
	if err := os.Rename(staged, path); err != nil {
		os.Remove(staged)
		return err
	}
	return syncDir(filepath.Dir(path))
}

// createFile makes path, which must not exist (fs.ErrExist). After a crash it
// is there whole or not at all.
func createFile(path string, content []byte, mode fs.FileMode) error {
	staged, err := stage(path, content, mode, nil)
	if err != nil {
		return err
	}
	defer os.Remove(staged)
	if err := os.Link(staged, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

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
	return syncDir(filepath.Dir(path))
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
		if strings.HasPrefix(entry.Name(), temporary) && !entry.IsDir() {
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
