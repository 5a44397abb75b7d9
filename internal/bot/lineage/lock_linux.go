package lineage

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// tryLock takes a record lock on all of file, as Python's fcntl.lockf does. It
// takes the kind that belongs to the open file: certbot's kind, which belongs to
// the process, meets it all the same, but would not keep two parts of one
// process apart, and would be lost with any other descriptor of the file.
func tryLock(file *os.File) error {
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	err := unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &lock)
	if errors.Is(err, unix.EINVAL) { // a kernel or file system without them
		err = unix.FcntlFlock(file.Fd(), unix.F_SETLK, &lock)
	}
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrLocked
	}
	if err != nil {
		return fmt.Errorf("locking %s: %w", file.Name(), err)
	}
	return nil
}
