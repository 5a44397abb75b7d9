// Package reference finds the lines of servers' settings that name files of a certificate, so that nobody deletes or renames
// what a server needs for its next start. It knows the syntax of none of them: a path is a path.
package reference

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Line is a line that names a file.
type Line struct {
	File   string `json:"file"`
	Number int    `json:"line"` // from 1
	Text   string `json:"text"`
}

// Bounds, beyond which a search ends: this is a help to people, and not worth waiting for.
const (
	maxFiles = 20000
	maxFile  = 1 << 20
	maxFound = 50
	maxText  = 200
)

// Find looks through all files below roots, which may not exist, for paths, or files below them. It reports whether it could
// look at all of them. Lines that are comments ("#") do not count.
func Find(roots, paths []string) (lines []Line, complete bool) {
	s := search{paths: paths, complete: true}
	for _, root := range roots {
		err := filepath.WalkDir(root, s.visit)
		if err != nil {
			s.complete = false
		}
	}
	return s.lines, s.complete
}

type search struct {
	paths    []string
	seen     []fs.FileInfo // through links: sites-enabled leads to sites-available
	files    int
	lines    []Line
	complete bool
}

func (s *search) visit(path string, entry fs.DirEntry, err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		s.complete = false
		return nil
	}
	if entry.IsDir() {
		return nil
	}
	if s.files++; s.files > maxFiles || len(s.lines) >= maxFound {
		s.complete = false
		return fs.SkipAll
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil // a link to nowhere, a socket
	}
	if info.Size() > maxFile {
		s.complete = false
		return nil
	}
	text, err := read(path)
	if err != nil {
		s.complete = false
		return nil
	}
	if !slices.ContainsFunc(s.paths, func(p string) bool { return bytes.Contains(text, []byte(p)) }) ||
		slices.ContainsFunc(s.seen, func(other fs.FileInfo) bool { return os.SameFile(other, info) }) {
		return nil
	}
	s.seen = append(s.seen, info)
	s.look(path, string(text))
	return nil
}

func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxFile))
}

func (s *search) look(path, text string) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") || !slices.ContainsFunc(s.paths, func(p string) bool { return names(line, p) }) {
			continue
		}
		s.lines = append(s.lines, Line{File: path, Number: number, Text: strings.ToValidUTF8(line[:min(len(line), maxText)], "?")})
		if len(s.lines) >= maxFound {
			return
		}
	}
}

// names reports whether line has the path, and not only one that begins like it.
func names(line, path string) bool {
	for {
		_, after, found := strings.Cut(line, path)
		if !found {
			return false
		}
		if after == "" || !isNameByte(after[0]) {
			return true
		}
		line = after
	}
}

// isNameByte reports whether b can go on with the name of a directory.
func isNameByte(b byte) bool {
	return b == '.' || b == '-' || b == '_' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= 0x80
}
