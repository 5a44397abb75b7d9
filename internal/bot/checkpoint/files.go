package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxText bounds the files of a checkpoint that are read whole: lists of some hundred paths, and notes.
const maxText = 4 << 20

func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxText+1))
	if err == nil && len(text) > maxText {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxText)
	}
	return text, err
}

// readLines reads a list of paths, which may not exist. They are absolute: what they would be relative to is not known.
func readLines(path string) ([]string, error) {
	text, err := readBounded(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if !filepath.IsAbs(line) || strings.ContainsRune(line, 0) {
			return nil, fmt.Errorf("%s lists %q, which is not an absolute path", path, line)
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// restore puts the content of from in place of to, with its mode and time, at once. Where to is a link, as in a directory
// of enabled sites, what it leads to is replaced.
func restore(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if resolved, err := filepath.EvalSymlinks(to); err == nil {
		to = resolved
	}
	staged, err := stage(from, to, info.Mode().Perm())
	if err != nil {
		return err
	}
	if err := os.Chtimes(staged, info.ModTime(), info.ModTime()); err != nil {
		return errors.Join(err, os.Remove(staged))
	}
	if err := os.Rename(staged, to); err != nil {
		return errors.Join(err, os.Remove(staged))
	}
	return syncDir(filepath.Dir(to))
}

// stage copies a file under another name beside to, durably. It has the owner of what it is about to replace.
func stage(from, to string, mode fs.FileMode) (path string, err error) {
	source, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer source.Close()
	file, err := os.CreateTemp(filepath.Dir(to), ".cairnbot-tmp-*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	if there, err := os.Stat(to); err == nil {
		if err := keepOwner(file, there); err != nil {
			return "", err
		}
	}
	if err := file.Chmod(mode); err != nil {
		return "", err
	}
	if _, err := io.Copy(file, source); err != nil {
		return "", err
	}
	return file.Name(), file.Sync()
}

// replaceText puts text in place of path, durably and at once.
func replaceText(path, text string) (err error) {
	next := filepath.Join(filepath.Dir(path), ".next") // always the same: a crash leaves one at most
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
