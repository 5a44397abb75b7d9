//go:build unix

package checkpoint

import (
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives file the owner and group of what it is about to replace.
func keepOwner(file *os.File, there fs.FileInfo) error {
	mine, err := file.Stat()
	if err != nil {
		return err
	}
	now, ok := mine.Sys().(*syscall.Stat_t)
	want, found := there.Sys().(*syscall.Stat_t)
	if !ok || !found || now.Uid == want.Uid && now.Gid == want.Gid {
		return nil
	}
	return file.Chown(int(want.Uid), int(want.Gid))
}
