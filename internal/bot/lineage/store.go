// Package lineage is certbot's world on disk, /etc/letsencrypt: accounts, the
// archive of certificates, the live links to their current versions, renewal
// configurations, and the locks that keep two clients apart. Certbot can go on
// with what this package writes, and this package with what certbot wrote.
//
// Nothing in it is half done after a crash. What takes several steps is
// prepared under names that certbot does not look at, and counts from one
// step on; what is left over is taken back or finished by Open, which finds a
// mark that whoever changes anything leaves until it ends in order.
package lineage

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
)

// Store is the tree of one configuration directory, locked. It may be used concurrently, for one
// lineage by one at a time, but for Open, Pause and Close.
type Store struct {
	dirs        Dirs
	locks       *Locks
	unrecovered error

	mu     sync.Mutex
	marked bool // the mark is there; guarded by mu
}

// Open prepares the directories, takes certbot's locks (ErrLocked at once if
// another has them) and calls Recover if a run before this one was broken off. Its error does not keep the Store from
// being used: Unrecovered gives it. Close releases the locks.
func Open(dirs Dirs) (*Store, error) { return OpenWithin(context.Background(), dirs, 0) }

// OpenWithin is Open that waits for the locks, for as long as that.
func OpenWithin(ctx context.Context, dirs Dirs, wait time.Duration) (*Store, error) {
	dirs, err := dirs.absolute()
	if err != nil {
		return nil, err
	}
	if err := dirs.Prepare(); err != nil {
		return nil, err
	}
	s := &Store{dirs: dirs}
	if err := s.take(ctx, wait); err != nil {
		return nil, err
	}
	return s, nil
}

// take takes the locks, and finds things in order then.
func (s *Store) take(ctx context.Context, wait time.Duration) error {
	locks, err := s.dirs.LockWithin(ctx, wait)
	if err != nil {
		return err
	}
	s.locks = locks
	entries, err := marked(s.renewal(), ours) // the mark, or an intent that somebody has written without one
	if s.marked = len(entries) > 0; s.marked || err != nil {
		s.unrecovered = errors.Join(err, s.Recover())
	}
	return nil
}

// Pause gives up the locks while do runs, so that certbot can work, and takes them again, for which it
// waits as long as that. Whatever was read before may have changed: lineages have to be loaded again.
// Where it fails, the Store is closed.
func (s *Store) Pause(ctx context.Context, do func(), wait time.Duration) error {
	if err := s.Close(); err != nil {
		return err
	}
	do()
	return s.take(ctx, wait)
}

// markName is the file in renewal that says that something is being changed.
const markName = ours + "working"

func (s *Store) markPath() string { return filepath.Join(s.renewal(), markName) }

// begin leaves the mark before the first change, so that the next run knows that there may be something to recover.
func (s *Store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.marked {
		return nil
	}
	file, err := os.OpenFile(s.markPath(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		err = errors.Join(file.Close(), atomicfile.SyncDir(s.renewal()))
	}
	if err != nil {
		return fmt.Errorf("beginning to change something: %w", err)
	}
	s.marked = true
	return nil
}

// Unrecovered says what Open could not put in order. It is worth a warning: one
// broken lineage must not stop the others.
func (s *Store) Unrecovered() error { return s.unrecovered }

// Close releases the locks.
func (s *Store) Close() error {
	if s.locks == nil {
		return nil
	}
	var err error
	if s.marked && s.unrecovered == nil {
		err = removeFile(s.markPath())
		s.marked = err != nil
	}
	err = errors.Join(err, s.locks.Release())
	s.locks = nil
	return err
}

// Dirs are the store's directories, as absolute paths.
func (s *Store) Dirs() Dirs { return s.dirs }

// Accounts gives the accounts at the CA with that directory URL.
func (s *Store) Accounts(server string) (*Accounts, error) {
	accounts, err := s.dirs.Accounts(server)
	if err == nil {
		accounts.begin = s.begin
	}
	return accounts, err
}

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
	names, err := s.Names()
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
	names, err := s.Names()
	if err != nil {
		return nil, nil, err
	}
	loaded, failed := make([]*Lineage, len(names)), make([]error, len(names))
	each(len(names), func(i int) { loaded[i], failed[i] = s.Load(names[i]) })
	var broken []Broken
	for i, err := range failed {
		if err != nil {
			broken = append(broken, Broken{Path: s.confPath(names[i]), Err: err})
		}
	}
	return slices.DeleteFunc(loaded, func(l *Lineage) bool { return l == nil }), broken, nil
}

// each calls do for 0 to n-1, on as many processors as there are.
func each(n int, do func(i int)) {
	const batch = 16 // so that who is done does not ask for more all the time
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (n+batch-1)/batch) {
		running.Go(func() {
			for from := int(next.Add(batch)) - batch; from < n; from = int(next.Add(batch)) - batch {
				for i := from; i < min(from+batch, n); i++ {
					do(i)
				}
			}
		})
	}
	running.Wait()
}

// Names lists what has a renewal configuration, in order, be it usable or not.
func (s *Store) Names() ([]string, error) {
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
