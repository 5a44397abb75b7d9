//go:build unix

package adopt

import (
	"io/fs"
	"os"
	"syscall"
)

// foreign reports whether somebody else than root and who runs this process can have written one of these files.
func foreign(paths ...string) bool {
	for _, path := range paths {
		for _, look := range []func(string) (fs.FileInfo, error){os.Lstat, os.Stat} { // a link, and what it leads to
			info, err := look(path)
			if err != nil {
				return true
			}
			stat, ok := info.Sys().(*syscall.Stat_t)
			if !ok || stat.Uid != 0 && int(stat.Uid) != os.Geteuid() || info.Mode()&fs.ModeSymlink == 0 && info.Mode().Perm()&0o002 != 0 {
				return true
			}
		}
	}
	return false
}
