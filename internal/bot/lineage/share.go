package lineage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
)

// Keys of the section [cairnbot] that say who may read the private key.
const (
	OwnKeyMode  = "key_mode"  // octal, such as 0640
	OwnKeyGroup = "key_group" // a group's name or number
)

// keyShare is what a new key takes over of the mode of the one before: what its
// group may do, and whether others may read it.
const keyShare = 0o074

// keyMode says with which mode and group a key is written: 0600, or as open as its owner has made
// the live one, in the archive: what a link leads to may be anybody's. What the configuration says goes before either.
func (l *Lineage) keyMode() (fs.FileMode, func(*os.File) error, error) {
	mode, group := fs.FileMode(0o600), -1
	if info, err := os.Stat(l.file(Key, l.Version())); err == nil {
		mode |= info.Mode().Perm() & keyShare
		if _, gid, ok := owner(info); ok {
			group = gid
		}
	}
	if text := l.Conf.Own(OwnKeyMode); text != "" {
		var err error
		if mode, err = ParseKeyMode(text); err != nil {
			return 0, nil, err
		}
	}
	if name := l.Conf.Own(OwnKeyGroup); name != "" {
		var err error
		if group, err = LookupGroup(name); err != nil {
			return 0, nil, err
		}
	}
	return mode, inGroup(group), nil
}

// inGroup gives a file to a group, while it is empty; -1 leaves it.
func inGroup(group int) func(*os.File) error {
	return func(file *os.File) error {
		mine, err := file.Stat()
		if err != nil {
			return err
		}
		if _, now, ok := owner(mine); group < 0 || !ok || now == group {
			return nil
		}
		// Without its group the key would be open to another, so this has to work.
		return file.Chown(-1, group)
	}
}

// ParseKeyMode reads the mode of a private key. Its owner can always read and write it, others can never write.
func ParseKeyMode(text string) (fs.FileMode, error) {
	mode, err := strconv.ParseUint(text, 8, 12)
	if err != nil || mode&^0o644 != 0 || mode&0o600 != 0o600 {
		return 0, fmt.Errorf("%q cannot be the mode of a private key: it is 0600, 0640 or 0644", text)
	}
	return fs.FileMode(mode), nil
}

// LookupGroup finds the number of a group, by its name or number.
func LookupGroup(name string) (int, error) {
	if number, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(number), nil
	}
	group, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("finding the group of private keys: %w", err)
	}
	return strconv.Atoi(group.Gid)
}

// ShareKeys gives the private keys of all versions the mode and group that the configuration says, and lets everybody through the
// directories on the way to them, who can see no more there than the names that they know. Doing it again changes nothing.
func (l *Lineage) ShareKeys() error {
	if err := l.shareKeys(); err != nil {
		return fmt.Errorf("giving others access to the key of %s: %w", l.Name, err)
	}
	return nil
}

func (l *Lineage) shareKeys() error {
	if l.Conf.Own(OwnKeyMode) == "" && l.Conf.Own(OwnKeyGroup) == "" {
		return nil
	}
	mode, give, err := l.keyMode()
	if err != nil {
		return err
	}
	present, err := l.present()
	if err != nil {
		return err
	}
	for version := range present {
		err = errors.Join(err, shareFile(l.file(Key, version), mode, give))
	}
	for _, directory := range []string{l.store.archives(), l.store.lives()} {
		info, statErr := os.Stat(directory)
		if statErr != nil || info.Mode().Perm()&0o011 == 0o011 {
			err = errors.Join(err, statErr)
			continue
		}
		err = errors.Join(err, os.Chmod(directory, info.Mode().Perm()|0o011))
	}
	return err
}

// shareFile changes a key's group while nobody else can read it.
func shareFile(path string, mode fs.FileMode, give func(*os.File) error) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil // a link to the key of another version
	}
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	// Whoever owns the directory may have put a link to somebody else's file there meanwhile.
	if opened, err := file.Stat(); err != nil || !os.SameFile(info, opened) {
		return errors.Join(err, fmt.Errorf("%s was replaced meanwhile", path))
	}
	if info.Mode().Perm()&^mode != 0 {
		if err := file.Chmod(info.Mode().Perm() & mode); err != nil {
			return err
		}
	}
	if err := give(file); err != nil {
		return err
	}
	return file.Chmod(mode)
}
