package validate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// watched is a configuration file of the machine, parsed again when it changes.
// A file that is missing counts as empty, as it does for the C library.
type watched[T any] struct {
	path  string
	parse func([]byte) T

	mu    sync.Mutex // guards what follows
	info  os.FileInfo
	read  time.Time
	value T
}

// maxWatched bounds a file in octets; hosts files with block lists have a few million.
const maxWatched = 16 << 20

// racy is how long after a change a file may change again with the same time stamp.
const racy = 2 * time.Second

// get returns the parsed file as it is now.
func (w *watched[T]) get() (T, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	info, err := os.Stat(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		w.info = nil
		return w.parse(nil), nil
	}
	if err != nil {
		return w.value, fmt.Errorf("looking at %s: %w", w.path, err)
	}
	if w.info != nil && os.SameFile(w.info, info) && w.info.Size() == info.Size() &&
		w.info.ModTime().Equal(info.ModTime()) && w.read.Sub(info.ModTime()) > racy {
		return w.value, nil
	}
	text, err := readBounded(w.path)
	if err != nil {
		return w.value, err
	}
	w.info, w.read, w.value = info, time.Now(), w.parse(text)
	return w.value, nil
}

func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxWatched+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(text) > maxWatched {
		return nil, fmt.Errorf("reading %s: it is larger than %d MiB", path, maxWatched>>20)
	}
	return text, nil
}
