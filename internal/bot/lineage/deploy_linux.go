package lineage

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// exchange makes two directories change places, in one step.
func exchange(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	for _, refusal := range []error{
		unix.ENOSYS, unix.EINVAL, unix.EOPNOTSUPP, // an old kernel, a network file system
		unix.EPERM, unix.EACCES, // a sandbox that does not know the call
		unix.EBUSY, unix.EXDEV, // b is a mount point
	} {
		if errors.Is(err, refusal) {
			return fmt.Errorf("%w: %w", errNoExchange, err)
		}
	}
	return err
}

// carryMode gives directory to the owner, group, extended attributes (access
// lists, labels) and mode of from.
func carryMode(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	uid, gid, _ := owner(info)
	if err := os.Chown(to, uid, gid); err != nil {
		return fmt.Errorf("%w: %w", errNoExchange, err)
	}
	if err := carryAttributes(from, to); err != nil {
		return fmt.Errorf("%w: carrying over extended attributes: %w", errNoExchange, err)
	}
	return os.Chmod(to, info.Mode()&(os.ModePerm|os.ModeSetuid|os.ModeSetgid|os.ModeSticky))
}

func carryAttributes(from, to string) error {
	names := make([]byte, 64<<10) // the most that Linux returns
	n, err := unix.Listxattr(from, names)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	if err != nil {
		return err
	}
	value := make([]byte, 64<<10)
	for _, name := range splitNames(names[:n]) {
		size, err := unix.Getxattr(from, name, value)
		if err != nil {
			return err
		}
		if err := unix.Setxattr(to, name, value[:size], 0); err != nil {
			return err
		}
	}
	return nil
}

// splitNames cuts a list of names, each of which ends in a zero byte.
func splitNames(list []byte) []string {
	var names []string
	for start, i := 0, 0; i < len(list); i++ {
		if list[i] == 0 {
			names = append(names, string(list[start:i]))
			start = i + 1
		}
	}
	return names
}
