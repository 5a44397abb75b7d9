package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
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
	if resolved, err := filepath.EvalSymlinks(to); err == nil {
		to = resolved
	}
	return copyFile(from, to)
}

// copyFile puts a copy of from in place of to, durably, with its mode and time and the owner of what it replaces. The
// copy is never more open than the file.
func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	file := atomicfile.File{Mode: info.Mode().Perm(), Prepare: func(file *os.File) error {
		if there, err := os.Stat(to); err == nil {
			return keepOwner(file, there)
		}
		return nil
	}}
	staged, err := file.Stage(to, source)
	if err != nil {
		return err
	}
	err = os.Chtimes(staged, info.ModTime(), info.ModTime())
	if err == nil {
		err = os.Rename(staged, to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(staged))
	}
	return atomicfile.SyncDir(filepath.Dir(to))
}

// replaceText puts text in place of path, durably and at once.
func replaceText(path, text string) error {
	return atomicfile.File{Mode: 0o644, Alone: true}.Replace(path, strings.NewReader(text))
}
