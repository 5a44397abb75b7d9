//go:build unix

package export

import (
	"io/fs"
	"os"
	"syscall"
)

// guarded reports whether links have to be looked at: only root can do more than the owner of one.
func guarded() bool { return os.Geteuid() == 0 }

// roots reports whether a file is root's.
func roots(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == 0
}

// sameOwner compares whom two files belong to.
func sameOwner(a, b fs.FileInfo) bool {
	first, ok := a.Sys().(*syscall.Stat_t)
	second, known := b.Sys().(*syscall.Stat_t)
	return ok && known && first.Uid == second.Uid
}
