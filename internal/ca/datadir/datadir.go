// Package datadir keeps an authority's data directory: who may open it, whether
// it is whole, and the files in it. It hands out bytes and takes bytes; what
// they mean is package sign's and package store's business.
//
// The directory holds
//
//	cairn.json                      the marker: with it the directory is valid
//	unfinished                      in its place while the first run is not over
//	lock                            held (fcntl) by the process that uses the directory
//	addresses.json                  where the authority is and was to be found
//	root.pem                        a copy of the newest root certificate
//	roots/N/{root.pem,root.key}     the roots, the newest has the highest number
//	issuers/N/{issuer.pem,issuer.key}
//	roles/N/{ca.pem,ca.key}         the CA by which roles on several machines know each other, once there are any
//	https/{cert.pem,key.pem}        the authority's own HTTPS certificate, with its chain
//	cairn.db                        the database, if it is SQLite
//	cluster.json                    who this machine is to the others of a cluster, if there are any
//
// The first run writes its intent (unfinished) before anything else and turns it
// into the marker after everything else, so a kill at any moment leaves either a
// valid directory or one that says that it may be thrown away. A directory with
// neither is never touched: a marker that was lost, or left out of a backup, does
// not cost the keys.
package datadir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Version is the layout that this program makes and understands.
const Version = 1

// Errors that a caller may want to tell apart. What is returned wraps them and
// says the directory, the reason and the remedy.
var (
	ErrNotMade    = errors.New("not an authority's data directory")
	ErrLocked     = errors.New("in use by another process")
	ErrNewer      = errors.New("made by a newer cairn")
	ErrExposed    = errors.New("open to others")
	ErrForeign    = errors.New("holds what cairn did not put there")
	ErrIncomplete = errors.New("not whole")
	ErrNoRootKey  = errors.New("the root's key is not here")
)

// Names in the directory.
const (
	markerName     = "cairn.json"
	unfinishedName = "unfinished"
	lockName       = "lock"
	databaseName   = "cairn.db"
	rootName       = "root.pem"
)

// Config says which directory to open, and how.
type Config struct {
	Dir      string // the path; must not be empty
	Create   bool   // make the directory, or take over an empty one, if there is none yet
	ReadOnly bool   // look only, without the lock, beside a process that may use it; Create is ignored

	// Observe, if set, is called with a few words before every change that is
	// made in the directory. A test that dies there finds what a crash leaves.
	Observe func(step string)
}

// Dir is an open data directory. It is held until Close, or until the process
// ends in whatever way. Its methods are not for concurrent use, but for Roles and AddRoles.
type Dir struct {
	path     string
	created  time.Time
	first    bool // the first run is not over
	readOnly bool
	observe  func(string)
	lock     *os.File // nil when readOnly

	roles sync.Mutex // held while the CA for roles is made or read
}

// marker is the content of cairn.json, and of unfinished before it.
type marker struct {
	Version int       `json:"version"`
	Created time.Time `json:"created"`
}

// Default returns where the data directory is when nobody says otherwise: for
// root below /var/lib, else where the XDG Base Directory Specification wants data.
// The arguments are the process's user, $HOME and $XDG_DATA_HOME.
func Default(uid int, home, xdgDataHome string) (string, error) {
	switch {
	case uid == 0:
		return "/var/lib/cairn", nil
	case filepath.IsAbs(xdgDataHome): // the specification: a relative path is to be ignored
		return filepath.Join(xdgDataHome, "cairn"), nil
	case filepath.IsAbs(home):
		return filepath.Join(home, ".local", "share", "cairn"), nil
	default:
		return "", errors.New("neither $XDG_DATA_HOME nor $HOME says where data belongs: use --data DIR")
	}
}

// Open takes hold of a data directory, or says why not and what to do about it.
// Where FirstRun then reports true, the caller fills the directory and calls Complete.
func Open(c Config) (*Dir, error) {
	if c.Dir == "" {
		return nil, errors.New("opening the data directory: no path given")
	}
	path, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening the data directory: %w", err)
	}
	d := &Dir{path: path, readOnly: c.ReadOnly, observe: c.Observe}
	if d.observe == nil {
		d.observe = func(string) {}
	}
	if err := d.open(c.Create && !c.ReadOnly); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Dir) open(create bool) error {
	if create {
		if err := d.makeDir(); err != nil {
			return err
		}
	}
	// Before the lock, so that nothing is made in a directory that is not ours …
	found, err := d.survey()
	if err != nil {
		return err
	}
	if found != valid && !create {
		return fmt.Errorf("%s is %w yet: `cairn up` makes it one", d.path, ErrNotMade)
	}
	if d.readOnly {
		return d.checkKeys()
	}
	if err := d.takeLock(); err != nil {
		return err
	}
	// … and again under it, since another process may have been at work.
	if found, err = d.survey(); err != nil {
		return err
	}
	if found == valid {
		return errors.Join(d.checkKeys(), d.repair())
	}
	return d.begin()
}

// begin starts the first run, or starts it over.
func (d *Dir) begin() error {
	d.first = true
	d.created = time.Now().UTC().Truncate(time.Second)
	text, err := json.Marshal(marker{Version: Version, Created: d.created})
	if err != nil {
		return fmt.Errorf("starting the data directory: %w", err)
	}
	// The intent comes first. A crash before it leaves an empty directory.
	if err := d.write(unfinishedName, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return d.clear()
}

// Complete ends the first run: from here on the directory is valid.
// Everything that was written before is on the disk by then.
func (d *Dir) Complete() error {
	if !d.first {
		return errors.New("completing the data directory: its first run is long over")
	}
	// Database files are the store's; their names become durable with this.
	if err := syncDir(d.path); err != nil {
		return err
	}
	if err := d.rename(unfinishedName, markerName); err != nil {
		return err
	}
	d.first = false
	return nil
}

// Close lets go of the directory.
func (d *Dir) Close() error {
	if d.lock == nil {
		return nil
	}
	lock := d.lock
	d.lock = nil
	return lock.Close() // which drops the lock
}

// FirstRun reports whether the directory was just begun and is to be filled.
func (d *Dir) FirstRun() bool { return d.first }

// Created is when the directory was begun.
func (d *Dir) Created() time.Time { return d.created }

// Path is the directory's absolute path.
func (d *Dir) Path() string { return d.path }

// Database is the path of the database, whose files the store makes.
func (d *Dir) Database() string { return d.join(databaseName) }

// RootFile is the path of the copy of the newest root certificate.
func (d *Dir) RootFile() string { return d.join(rootName) }

func (d *Dir) join(name string) string { return filepath.Join(d.path, filepath.FromSlash(name)) }

// readMarker reads cairn.json. The error is fs.ErrNotExist's where there is none.
func (d *Dir) readMarker() (marker, error) {
	file := d.join(markerName)
	text, err := d.read(markerName)
	if err != nil {
		return marker{}, err
	}
	var m marker
	decoder := json.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&m); err != nil || m.Version < 1 {
		return marker{}, fmt.Errorf("%s is %w: %s is not a marker of ours (%.60q): put it back from a backup",
			d.path, ErrIncomplete, file, text)
	}
	if m.Version > Version {
		return marker{}, fmt.Errorf("%s was %w: its layout is %d, this program knows %d: use the newer program",
			d.path, ErrNewer, m.Version, Version)
	}
	return m, nil
}

// maxFile bounds what is read from one file. Certificates, keys and the marker are a few kilobytes.
const maxFile = 1 << 20

func (d *Dir) read(name string) ([]byte, error) {
	info, err := os.Stat(d.join(name))
	if err != nil {
		return nil, fmt.Errorf("reading the data directory: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("reading the data directory: %s is not a file of at most %d octets", d.join(name), maxFile)
	}
	text, err := os.ReadFile(d.join(name))
	if err != nil {
		return nil, fmt.Errorf("reading the data directory: %w", err)
	}
	return text, nil
}

func notThere(err error) bool { return errors.Is(err, fs.ErrNotExist) }
