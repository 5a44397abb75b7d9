//go:build !unix

package lineage

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// readFile reads a file of at most maxFile bytes.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return text, err
}

// owner knows nothing: files have no group here.
func owner(fs.FileInfo) (uid, gid int, ok bool) { return 0, 0, false }
