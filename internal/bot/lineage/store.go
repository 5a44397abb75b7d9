// Package lineage is certbot's world on disk, /etc/letsencrypt: accounts, the
// archive of certificates, the live links to their current versions, renewal
// configurations, and the locks that keep two clients apart. Certbot can go on
// with what this package writes, and this package with what certbot wrote.
//
// Nothing in it is half done after a crash. What takes several steps is
// prepared under names that certbot does not look at, and counts from one
// step on; what is left over is taken back or finished by Open.
package lineage

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Store is the tree of one configuration directory, locked. It is not for
// concurrent use.
type Store struct {
	dirs        Dirs
	locks       *Locks
	unrecovered error
}

// Open prepares the directories, takes certbot's locks (ErrLocked at once if
// another has them) and calls Recover, whose error does not keep the Store from
// being used: Unrecovered gives it. Close releases the locks.
func Open(dirs Dirs) (*Store, error) {
	dirs, err := dirs.absolute()
	if err != nil {
		return nil, err
	}
	if err := dirs.Prepare(); err != nil {
		return nil, err
	}
	locks, err := dirs.Lock()
	if err != nil {
		return nil, err
	}
	s := &Store{dirs: dirs, locks: locks}
	s.unrecovered = s.Recover()
	return s, nil
}

// Unrecovered says what Open could not put in order. It is worth a warning: one
// broken lineage must not stop the others.
func (s *Store) Unrecovered() error { return s.unrecovered }

// Close releases the locks.
func (s *Store) Close() error { return s.locks.Release() }

// Dirs are the store's directories, as absolute paths.
func (s *Store) Dirs() Dirs { return s.dirs }

// Accounts gives the accounts at the CA with that directory URL.
func (s *Store) Accounts(server string) (*Accounts, error) { return s.dirs.Accounts(server) }

func (s *Store) renewal() string             { return filepath.Join(s.dirs.Config, "renewal") }
func (s *Store) confPath(name string) string { return filepath.Join(s.renewal(), name+".conf") }
func (s *Store) archives() string            { return filepath.Join(s.dirs.Config, "archive") }
func (s *Store) lives() string               { return filepath.Join(s.dirs.Config, "live") }

// Bounds for names, so that those of files stay below 256 bytes: NAME.conf for
// any lineage, NAME-0001.conf for a new one, and what this package puts before a name.
const (
	maxName    = 250
	maxNewName = 245
	maxMark    = 220
)

// mark stands for a lineage in the names of our own files. It is its name, or a
// hash of one that is too long.
func mark(name string) string {
	if len(name) <= maxMark {
		return name
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
}

// byMark finds the lineage that a mark stands for.
func (s *Store) byMark(wanted string) (*Lineage, error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if mark(name) == wanted {
			return s.loadConf(name)
		}
	}
	return nil, fs.ErrNotExist
}

// CheckName reports an error unless name can be the name of a lineage, which
// becomes the name of files.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("a certificate needs a name")
	case len(name) > maxName:
		return fmt.Errorf("the name %.40s… is too long for a file: choose one of at most %d bytes with --cert-name", name, maxNewName)
	case strings.ContainsAny(name, "/\\\x00\r\n") || strings.HasPrefix(name, "."):
		return fmt.Errorf("%q cannot be the name of a certificate", name)
	}
	return nil
}

// Broken is a renewal configuration that cannot be used.
type Broken struct {
	Path string // of the .conf
	Err  error
}

// List reads all lineages, in the order of their names, and says which
// configurations are broken.
func (s *Store) List() ([]*Lineage, []Broken, error) {
	names, err := s.names()
	if err != nil {
		return nil, nil, err
	}
	var lineages []*Lineage
	var broken []Broken
	for _, name := range names {
		if l, err := s.Load(name); err != nil {
			broken = append(broken, Broken{Path: s.confPath(name), Err: err})
		} else {
			lineages = append(lineages, l)
		}
	}
	return lineages, broken, nil
}

// names lists what has a renewal configuration.
func (s *Store) names() ([]string, error) {
	entries, err := os.ReadDir(s.renewal())
	if err != nil {
		return nil, fmt.Errorf("listing certificates: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if name, found := strings.CutSuffix(entry.Name(), ".conf"); found && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	return names, nil
}

// Find gives the lineage that a certificate file belongs to: cert.pem or
// fullchain.pem in live, or any version of either in the archive. The error is
// fs.ErrNotExist if it belongs to none.
func (s *Store) Find(path string) (*Lineage, error) {
	full, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("finding the certificate of %s: %w", path, err)
	}
	base := filepath.Base(full)
	_, isCert := versionOf(Cert, base)
	_, isFullchain := versionOf(Fullchain, base)
	if isCert || isFullchain {
		lineages, _, err := s.List()
		if err != nil {
			return nil, err
		}
		for _, l := range lineages {
			if sameDirectory(l.archive, filepath.Dir(full)) {
				return l, nil
			}
		}
	}
	return nil, fmt.Errorf("%s belongs to no certificate here: %w", path, fs.ErrNotExist)
}

func sameDirectory(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}
