//go:build unix

package solve

import (
	"io/fs"
	"os"
	"syscall"
)

// giveTo gives what is called name in directory the owner and group that like has.
func giveTo(directory *os.Root, name string, like fs.FileInfo) error {
	stat, ok := like.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil // only root makes directories for others
	}
	return directory.Lchown(name, int(stat.Uid), int(stat.Gid))
}

// mayFollow reports whether a link may be followed to a directory. Root follows its own
// links, and others' to what is theirs anyway; everybody else can do no more than their rights let them.
func mayFollow(link, directory fs.FileInfo) bool {
	if os.Geteuid() != 0 {
		return true
	}
	from, ok := link.Sys().(*syscall.Stat_t)
	to, known := directory.Sys().(*syscall.Stat_t)
	return ok && known && (from.Uid == 0 || from.Uid == to.Uid)
}
