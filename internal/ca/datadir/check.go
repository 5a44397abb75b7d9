package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// state is what survey finds.
type state int

const (
	empty state = iota // nothing, or nothing that matters
	begun              // a first run that did not end
	valid              // the marker is there
)

// known matches the path below the directory of everything that a first run makes.
// What ends in .new is on its way to its name.
var known = regexp.MustCompile(`^(?:lock|(?:unfinished|root\.pem|(?:addresses|cluster)\.json)(?:\.new)?|cairn\.db(?:-wal|-shm|-journal)?` +
	`|roots(?:/[0-9]+(?:\.new)?(?:/root\.(?:pem|key)(?:\.new)?)?)?` +
	`|issuers(?:/[0-9]+(?:\.new)?(?:/(?:issuer\.(?:pem|key)|cross-[0-9]+\.pem)(?:\.new)?)?)?` +
	`|roles(?:/[0-9]+(?:\.new)?(?:/ca\.(?:pem|key)(?:\.new)?)?)?` +
	`|https(?:/(?:cert|key)\.pem(?:\.new)?)?)$`)

// trifles do not make a directory non-empty: our lock, and an intent that was
// not yet written out.
var trifles = regexp.MustCompile(`^(?:lock|unfinished\.new)$`)

// makeDir makes the directory if there is none, closed to others from the start.
// One that is there and empty is closed now; where others could have put
// something into it meanwhile, that is left to the operator.
func (d *Dir) makeDir() error {
	// XDG Base Directory Specification: directories are made with mode 0700.
	if err := os.MkdirAll(filepath.Dir(d.path), 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	d.observe("making the directory")
	err := os.Mkdir(d.path, 0o700)
	if err == nil {
		return syncDir(filepath.Dir(d.path))
	}
	if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the data directory: %w", err)
	}
	info, err := os.Stat(d.path)
	if err != nil || !info.IsDir() || info.Mode()&0o077 == 0 || info.Mode()&0o022 != 0 || checkOwner(d.path, info) != nil {
		return nil // survey says what is wrong
	}
	if entries, err := os.ReadDir(d.path); err != nil || len(entries) != 0 {
		return nil
	}
	d.observe("closing the directory to others")
	if err := os.Chmod(d.path, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	return nil
}

// survey looks at the directory and changes nothing.
func (d *Dir) survey() (state, error) {
	info, err := os.Stat(d.path)
	switch {
	case notThere(err):
		return empty, nil
	case err != nil:
		return empty, fmt.Errorf("opening the data directory: %w", err)
	case !info.IsDir():
		return empty, fmt.Errorf("%s is %w: it is not even a directory", d.path, ErrNotMade)
	}
	// Root may look at the directory of whoever runs the authority, to trust its root.
	if reader := d.readOnly && os.Geteuid() == 0; !reader {
		if err := checkOwner(d.path, info); err != nil {
			return empty, err
		}
	}
	if info.Mode()&0o077 != 0 {
		return empty, fmt.Errorf("%s is %w (mode %04o): close it with `chmod 700 %s`", d.path, ErrExposed, info.Mode().Perm(), d.path)
	}
	m, err := d.readMarker()
	if err == nil {
		d.created = m.Created
		return valid, nil
	}
	if !notThere(err) {
		return empty, err
	}
	return d.surveyUnfinished()
}

// surveyUnfinished looks at a directory without a marker: it may be taken over
// if it is empty, or if it holds a first run's intent and what such a run makes.
func (d *Dir) surveyUnfinished() (state, error) {
	example, intent := "", false
	err := d.walk(func(name string, entry fs.DirEntry) error {
		switch {
		case trifles.MatchString(name):
		case !known.MatchString(name) || !entry.IsDir() && !entry.Type().IsRegular():
			return fmt.Errorf("%s %w: %s: choose an empty directory with --data", d.path, ErrForeign, name)
		case name == unfinishedName:
			intent = true
		case example == "" && !entry.IsDir():
			example = name
		}
		return nil
	})
	switch {
	case err != nil:
		return empty, err
	case intent:
		return begun, nil
	case example != "":
		return empty, fmt.Errorf("%s is %w: it holds %s but no %s: put that back from a backup, or choose an empty directory with --data",
			d.path, ErrIncomplete, example, markerName)
	default:
		return empty, nil
	}
}

// checkKeys refuses keys that others may read: what they protect is not safe any more.
func (d *Dir) checkKeys() error {
	return d.walk(func(name string, entry fs.DirEntry) error {
		if base := path.Base(name); !strings.HasSuffix(base, ".key") && name != httpsKeyName {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return fmt.Errorf("opening the data directory: %w", err)
		}
		if file := d.join(name); info.Mode().IsRegular() && info.Mode()&0o077 != 0 {
			return fmt.Errorf("key %s is %w (mode %04o): close it with `chmod 600 %s`, and think about who may have read it",
				file, ErrExposed, info.Mode().Perm(), file)
		}
		return nil
	})
}

// repair ends in a valid directory what a crash interrupted: it removes what was
// on its way, and brings the copy of the newest root up to date.
func (d *Dir) repair() error {
	if err := d.removeWhere(func(name string) bool { return strings.HasSuffix(name, ".new") && known.MatchString(name) }); err != nil {
		return err
	}
	return d.copyRoot()
}

// clear removes all that a first run had made, but not its intent.
func (d *Dir) clear() error {
	return d.removeWhere(func(name string) bool { return name != unfinishedName && !trifles.MatchString(name) })
}

// removeWhere removes what doomed says, with all that lies under it.
func (d *Dir) removeWhere(doomed func(name string) bool) error {
	var list []string
	err := d.walk(func(name string, entry fs.DirEntry) error {
		if !doomed(name) {
			return nil
		}
		list = append(list, name)
		if entry.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range list {
		d.observe("removing " + name)
		if err := os.RemoveAll(d.join(name)); err != nil {
			return fmt.Errorf("clearing the data directory: %w", err)
		}
	}
	return syncDir(d.path)
}

// walk calls visit for everything in the directory, with its path below it,
// but for what mkfs leaves at the top of a file system.
func (d *Dir) walk(visit func(name string, entry fs.DirEntry) error) error {
	return filepath.WalkDir(d.path, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			if notThere(err) {
				return nil // another process finished a file meanwhile (ReadOnly)
			}
			return fmt.Errorf("reading the data directory: %w", err)
		}
		if file == d.path {
			return nil
		}
		name, err := filepath.Rel(d.path, file)
		if err != nil {
			return fmt.Errorf("reading the data directory: %w", err)
		}
		if name == "lost+found" && entry.IsDir() {
			return fs.SkipDir // the file system's, and root's
		}
		return visit(filepath.ToSlash(name), entry)
	})
}
