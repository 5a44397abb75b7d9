package datadir

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
)

// write puts text at name in one step, and on the disk before it returns.
// The file has its mode from creation.
func (d *Dir) write(name string, text []byte, mode os.FileMode) error {
	if err := d.writable(); err != nil {
		return err
	}
	temp := name + ".new"
	if err := os.Remove(d.join(temp)); err != nil && !notThere(err) {
		return fmt.Errorf("writing %s: %w", d.join(name), err)
	}
	if err := d.writeNew(temp, text, mode); err != nil {
		return err
	}
	return d.rename(temp, name)
}

// writeNew makes the file name, which must not be there, and puts its content on the disk.
func (d *Dir) writeNew(name string, text []byte, mode os.FileMode) error {
	d.observe("writing " + name)
	file, err := os.OpenFile(d.join(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("writing to the data directory: %w", err)
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("writing to the data directory: %w", err)
	}
	return nil
}

// rename gives from the name to, on the disk before it returns.
func (d *Dir) rename(from, to string) error {
	d.observe("naming " + to)
	if err := os.Rename(d.join(from), d.join(to)); err != nil {
		return fmt.Errorf("writing to the data directory: %w", err)
	}
	d.observe("syncing " + to)
	return syncDir(d.join(path.Dir(to)))
}

// remove takes name away, on the disk before it returns. That it is not there is fine.
func (d *Dir) remove(name string) error {
	d.observe("removing " + name)
	if err := os.Remove(d.join(name)); err != nil && !notThere(err) {
		return fmt.Errorf("writing to the data directory: %w", err)
	}
	return syncDir(d.join(path.Dir(name)))
}

// mkdir makes the directory name if there is none.
func (d *Dir) mkdir(name string) error {
	if err := d.writable(); err != nil {
		return err
	}
	d.observe("making " + name)
	if err := os.Mkdir(d.join(name), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("writing to the data directory: %w", err)
	}
	return syncDir(d.join(path.Dir(name)))
}

func (d *Dir) writable() error {
	if d.lock == nil {
		return fmt.Errorf("writing to %s: it was opened for reading, or closed", d.path)
	}
	return nil
}

// syncDir puts the names in a directory on the disk.
func syncDir(name string) error {
	dir, err := os.Open(filepath.Clean(name))
	if err != nil {
		return fmt.Errorf("syncing the data directory: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("syncing the data directory: %w", err)
	}
	return nil
}
