//go:build unix

package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// takeLock takes the lock, or says who holds it. It is a record lock (fcntl),
// which the kernel drops when the process ends, however it ends. It is the
// process's: to open the lock's file a second time in it, and close it, would drop it.
func (d *Dir) takeLock() error {
	file, err := os.OpenFile(d.join(lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("locking the data directory: %w", err)
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	err = unix.FcntlFlock(file.Fd(), unix.F_SETLK, &whole)
	if err == nil {
		d.lock = file
		return nil
	}
	defer file.Close()
	if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("locking the data directory: %w", err)
	}
	who := ""
	holder := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, &holder); err == nil && holder.Type != unix.F_UNLCK && holder.Pid > 0 {
		who = fmt.Sprintf(" (process %d)", holder.Pid)
	}
	return fmt.Errorf("%s is %w%s: stop that one, or choose another directory with --data", d.path, ErrLocked, who)
}

// checkOwner refuses a directory of another user's, who could change it at will,
// and in which this user's files would get in that one's way.
func checkOwner(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) == os.Geteuid() {
		return nil
	}
	return fmt.Errorf("%s is %w: it belongs to user %d and this is user %d: run as that user, or choose another directory with --data",
		path, ErrExposed, stat.Uid, os.Geteuid())
}
