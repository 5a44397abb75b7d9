//go:build unix

package lineage

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// readFile reads a file of at most maxFile bytes. It calls the system itself: os.File would prepare to wait for the
// file, and grow the text step by step, which is most of the time where there are ten thousand.
func readFile(path string) ([]byte, error) {
	fail := func(call string, err error) ([]byte, error) {
		return nil, &fs.PathError{Op: call, Path: path, Err: err}
	}
	fd, err := again(func() (int, error) {
		return syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	})
	if err != nil {
		return fail("open", err)
	}
	defer syscall.Close(fd)
	var info syscall.Stat_t
	if err := syscall.Fstat(fd, &info); err != nil {
		return fail("stat", err)
	}
	switch {
	case info.Mode&syscall.S_IFMT != syscall.S_IFREG:
		return fail("read", errors.New("it is not a file"))
	case info.Size > maxFile:
		return fail("read", fmt.Errorf("it has more than %d bytes", maxFile))
	}
	text := make([]byte, info.Size+1) // one more, to see that there is no more
	for n := 0; ; {
		got, err := again(func() (int, error) { return syscall.Read(fd, text[n:]) })
		if err != nil {
			return fail("read", err)
		}
		if n += got; got == 0 || n > int(info.Size) {
			// What grows meanwhile was, and will be, another file.
			return text[:min(n, int(info.Size))], nil
		}
	}
}

// again repeats a call that a signal interrupts.
func again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

// owner gives the user and group of a file.
func owner(info fs.FileInfo) (uid, gid int, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(stat.Uid), int(stat.Gid), true
}
