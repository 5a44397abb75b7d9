package lineage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
)

// Deploy makes a complete version live, all four files at once:
//
//	a directory beside live/NAME gets the new links, and all else that
//	live/NAME has                    a crash here leaves the old version
//	the two change places            one step of the file system, old or new
//	the old directory is removed     a crash here leaves the new version
//
// Where directories cannot change places, the links are replaced one by one
// under a written intent, which Recover carries out after a crash.
func (l *Lineage) Deploy(version int) error {
	if _, err := l.Material(version); err != nil {
		return fmt.Errorf("deploying: %w", err)
	}
	if version == l.Version() {
		return nil
	}
	if err := l.store.begin(); err != nil {
		return err
	}
	l.version = 0
	err := l.exchange(version)
	if errors.Is(err, errNoExchange) {
		err = l.relink(version)
	}
	if err != nil {
		return fmt.Errorf("deploying version %d of %s: %w", version, l.Name, err)
	}
	return nil
}

// errNoExchange says that nothing has been changed, and that links have to be
// replaced one by one.
var errNoExchange = errors.New("the live directory cannot be exchanged")

// siblingPrefix begins the name of the directory that changes places with live/NAME.
const siblingPrefix = ours + "live-"

func (s *Store) sibling(name string) string {
	return filepath.Join(s.lives(), siblingPrefix+mark(name))
}

// exchange deploys by exchanging live/NAME.
func (l *Lineage) exchange(version int) error {
	live, sibling := l.Live(), l.store.sibling(l.Name)
	// Links that are elsewhere, among other people's files, are not for us to move about.
	if live != filepath.Join(l.store.lives(), l.Name) || !isRealDirectory(live) {
		return errNoExchange
	}
	for _, kind := range Kinds() {
		if filepath.Dir(l.paths[kind]) != live {
			return errNoExchange
		}
	}
	if err := l.dismantle(sibling); err != nil {
		return err
	}
	if err := l.buildSibling(sibling, version); err != nil {
		return errors.Join(err, l.dismantle(sibling))
	}
	if err := exchange(sibling, live); err != nil {
		return errors.Join(err, l.dismantle(sibling))
	}
	if err := atomicfile.SyncDir(l.store.lives()); err != nil {
		return err
	}
	return l.dismantle(sibling)
}

func isRealDirectory(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// buildSibling makes the directory that is to take the place of live/NAME.
func (l *Lineage) buildSibling(sibling string, version int) error {
	live := l.Live()
	entries, err := os.ReadDir(live)
	if err != nil {
		return err
	}
	if err := os.Mkdir(sibling, 0o700); err != nil {
		return err
	}
	for _, entry := range entries {
		if l.isOurs(entry.Name()) {
			continue
		}
		if err := carry(filepath.Join(live, entry.Name()), filepath.Join(sibling, entry.Name())); err != nil {
			return err
		}
	}
	for _, kind := range Kinds() {
		if err := os.Symlink(l.target(kind, version), filepath.Join(sibling, filepath.Base(l.paths[kind]))); err != nil {
			return err
		}
	}
	if err := carryMode(live, sibling); err != nil {
		return err
	}
	return atomicfile.SyncDir(sibling)
}

// isOurs reports whether a file in live/NAME is not carried over: a link to a
// version, a temporary file, or what certbot makes to find its way back.
func (l *Lineage) isOurs(base string) bool {
	if strings.HasPrefix(base, atomicfile.Temporary) {
		return true
	}
	for _, kind := range Kinds() {
		if base == filepath.Base(l.paths[kind]) || base == "previous_"+string(kind)+".pem" {
			return true
		}
	}
	return false
}

// target is what the link of a kind says for a version. The directory stays
// written as it is, for whoever wrote it may have had a reason.
func (l *Lineage) target(kind Kind, version int) string {
	file := l.file(kind, version)
	if now, err := os.Readlink(l.paths[kind]); err == nil {
		if leadsTo, err := linkTarget(l.paths[kind]); err == nil && l.archived(leadsTo) {
			return filepath.Join(filepath.Dir(now), filepath.Base(file))
		}
	}
	if relative, err := filepath.Rel(filepath.Dir(l.paths[kind]), file); err == nil {
		return relative
	}
	return file
}

// carry gives a foreign file of live/NAME a second name. It is the same file,
// so that its mode, owner and content stay right even if it is being changed.
func carry(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0 {
		return errNoExchange // a directory cannot have two names
	}
	if err := os.Link(from, to); err != nil {
		return fmt.Errorf("%w: %w", errNoExchange, err)
	}
	return nil
}

// dismantle removes the sibling directory, in whatever state a crash has left
// it. A foreign file that is not in live/NAME is moved there; so is one that is
// newer than its namesake.
func (l *Lineage) dismantle(sibling string) error {
	entries, err := os.ReadDir(sibling)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(sibling, entry.Name())
		if !l.isOurs(entry.Name()) && isRealDirectory(l.Live()) {
			if err := rescue(path, filepath.Join(l.Live(), entry.Name())); err != nil {
				return err
			}
		}
		if err := removeFile(path); err != nil {
			return err
		}
	}
	return errors.Join(os.Remove(sibling), atomicfile.SyncDir(filepath.Dir(sibling)))
}

// rescue moves a file to live/NAME unless that has it, or a newer one.
func rescue(from, to string) error {
	old, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if now, err := os.Lstat(to); err == nil && (os.SameFile(old, now) || !old.ModTime().After(now.ModTime())) {
		return nil
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(to))
}

// intentPrefix begins the name of a file in renewal that says which version is
// being made live, link by link.
const intentPrefix = ours + "deploy-"

// intent is the content of that file.
type intent struct {
	Version int `json:"version"`
}

func (l *Lineage) intentPath() string {
	return filepath.Join(l.store.renewal(), intentPrefix+mark(l.Name))
}

// relink deploys link by link. From the moment the intent is on disk, a crash
// leads to the new version; before it, to the old.
func (l *Lineage) relink(version int) error {
	text, err := json.Marshal(intent{Version: version})
	if err != nil {
		return err
	}
	if err := l.store.begin(); err != nil {
		return err
	}
	if err := atomicfile.Replace(l.intentPath(), text, 0o600); err != nil {
		return err
	}
	return l.finishRelink(version)
}

// finishRelink does what the intent says, from wherever it was left.
func (l *Lineage) finishRelink(version int) error {
	var changed []string
	for _, kind := range Kinds() {
		path := l.paths[kind]
		directory := filepath.Dir(path)
		if !slices.Contains(changed, directory) {
			changed = append(changed, directory)
		}
		next := filepath.Join(directory, atomicfile.Temporary+string(kind))
		if err := removeFile(next); err != nil {
			return err
		}
		if err := os.Symlink(l.target(kind, version), next); err != nil {
			return err
		}
		if err := os.Rename(next, path); err != nil {
			return err
		}
		// Certbot would take these for the state to return to.
		if err := removeFile(filepath.Join(directory, "previous_"+string(kind)+".pem")); err != nil {
			return err
		}
	}
	for _, directory := range changed {
		if err := atomicfile.SyncDir(directory); err != nil {
			return err
		}
	}
	if err := removeFile(l.intentPath()); err != nil {
		return err
	}
	return atomicfile.SyncDir(l.store.renewal())
}
