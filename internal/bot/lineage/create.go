package lineage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
)

// unfinished is a file in archive/NAME that says: as long as renewal/NAME.conf
// is not there, this and live/NAME are for Recover to remove.
const unfinished = ours + "unfinished"

// newPrefix begins the name of an archive directory that is being built.
const newPrefix = ours + "new-"

// maxSuffix is the last number that a name can get.
const maxSuffix = 9999

// Setup is what the configuration of a new lineage says.
type Setup struct {
	Params Params
	Own    map[string]string // see Conf.Own
}

// Create lays down a new lineage under name, or under NAME-0001 and so on if
// there is something of that name already.
//
//	archive and live directories are built under other names
//	archive/NAME is put in its place, marked as unfinished, then live/NAME
//	renewal/NAME.conf is put in its place      the lineage exists from here on
//	the mark is removed
//
// What a crash before the third step leaves, Recover removes.
func (s *Store) Create(name string, m Material, setup Setup) (*Lineage, error) {
	if err := CheckName(name); err != nil {
		return nil, fmt.Errorf("creating a certificate: %w", err)
	}
	if len(name) > maxNewName {
		return nil, fmt.Errorf("the name %.40s… is too long for a new certificate: choose one of at most %d bytes with --cert-name", name, maxNewName)
	}
	if err := m.Check(); err != nil {
		return nil, fmt.Errorf("creating %s: %w", name, err)
	}
	if err := s.begin(); err != nil {
		return nil, fmt.Errorf("creating %s: %w", name, err)
	}
	if err := s.writeReadme(); err != nil {
		return nil, fmt.Errorf("creating %s: %w", name, err)
	}
	candidate := name
	for i := 1; i <= maxSuffix+1; i++ {
		l, err := s.createAs(candidate, m, setup)
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, errTaken) {
			return nil, fmt.Errorf("creating %s: %w", candidate, err)
		}
		candidate = fmt.Sprintf("%s-%04d", name, i)
	}
	return nil, fmt.Errorf("creating %s: all names up to %s-%d are taken", name, name, maxSuffix)
}

// errTaken says that there is something of that name.
var errTaken = errors.New("the name is taken")

func (s *Store) createAs(name string, m Material, setup Setup) (*Lineage, error) {
	archive, live := filepath.Join(s.archives(), name), filepath.Join(s.lives(), name)
	if exists(s.confPath(name)) || !vacant(archive) || !vacant(live) {
		return nil, errTaken
	}
	conf, err := newConf(archive, live, setup)
	if err != nil {
		return nil, err
	}
	l := &Lineage{Name: name, Conf: conf, store: s, paths: make(map[Kind]string), archive: archive}
	for _, kind := range Kinds() {
		l.paths[kind] = filepath.Join(live, string(kind)+".pem")
	}
	if err := l.lay(archive, live, m); err != nil {
		return nil, errors.Join(err, s.takeBack(name))
	}
	// The one step that counts. It fails if anybody has taken the name meanwhile.
	if err := atomicfile.Create(s.confPath(name), conf.Bytes(), 0o644); err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = errTaken
		}
		return nil, errors.Join(err, s.takeBack(name))
	}
	if err := removeFile(filepath.Join(archive, unfinished)); err != nil {
		return nil, err
	}
	return l, atomicfile.SyncDir(archive)
}

// vacant reports whether there is nothing at path but, perhaps, an empty directory.
func vacant(path string) bool {
	entries, err := os.ReadDir(path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0
}

// lay builds the two directories and puts them in their places.
func (l *Lineage) lay(archive, live string, m Material) error {
	newArchive, newLive := filepath.Join(l.store.archives(), newPrefix+mark(l.Name)), l.store.sibling(l.Name)
	for _, directory := range []string{newArchive, newLive} {
		if err := makeDir(directory, 0o755); err != nil {
			return err
		}
	}
	if err := atomicfile.Create(filepath.Join(newArchive, unfinished), nil, 0o644); err != nil {
		return err
	}
	for _, kind := range Kinds() {
		file := string(kind) + "1.pem"
		mode := fs.FileMode(0o644)
		if kind == Key {
			mode = 0o600 // ShareKeys opens it, when all is in its place
		}
		if err := atomicfile.Create(filepath.Join(newArchive, file), m.content(kind), mode); err != nil {
			return err
		}
		if err := os.Symlink(filepath.Join("..", "..", "archive", l.Name, file), filepath.Join(newLive, string(kind)+".pem")); err != nil {
			return err
		}
	}
	if err := atomicfile.Create(filepath.Join(newLive, readme), readmeText(""), 0o644); err != nil {
		return err
	}
	// The archive first: it has the mark by which both can be found again.
	if err := moveIn(newArchive, archive); err != nil {
		return err
	}
	return moveIn(newLive, live)
}

// moveIn gives a directory its name, in place of an empty one.
func moveIn(from, to string) error {
	if err := removeFile(to); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(to))
}

// takeBack removes what is left of a lineage that has come to nothing, or has
// been deleted. Files of others stay, and so do the directories with them.
func (s *Store) takeBack(name string) error {
	archive, live := filepath.Join(s.archives(), name), filepath.Join(s.lives(), name)
	err := errors.Join(
		removeLive(s.sibling(name), archive),
		removeVersions(filepath.Join(s.archives(), newPrefix+mark(name))),
	)
	if err != nil || !exists(filepath.Join(archive, unfinished)) {
		return err
	}
	return errors.Join(removeLive(live, archive), removeVersions(archive), atomicfile.SyncDir(s.lives()), atomicfile.SyncDir(s.archives()))
}

// removeLive removes the links that lead to archive, or to anywhere if that is
// "", and, if nothing else is left, the README and the directory.
func removeLive(directory, archive string) error {
	err := sweepTemporary(directory)
	for _, kind := range Kinds() {
		link := filepath.Join(directory, string(kind)+".pem")
		if target, linkErr := linkTarget(link); linkErr == nil && (archive == "" || filepath.Dir(target) == archive) {
			err = errors.Join(err, removeFile(link))
		}
	}
	if err != nil {
		return err
	}
	if entries, err := os.ReadDir(directory); err == nil && len(entries) == 1 && entries[0].Name() == readme {
		if err := removeFile(filepath.Join(directory, readme)); err != nil {
			return err
		}
	}
	return removeEmpty(directory)
}

// removeVersions removes the versions in an archive directory, the mark last,
// and, if that was all, the directory.
func removeVersions(directory string) error {
	entries, err := os.ReadDir(directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		for _, kind := range Kinds() {
			if _, ok := versionOf(kind, entry.Name()); ok {
				err = errors.Join(err, removeFile(filepath.Join(directory, entry.Name())))
			}
		}
	}
	if err = errors.Join(err, sweepTemporary(directory)); err != nil {
		return err
	}
	if err := removeFile(filepath.Join(directory, unfinished)); err != nil {
		return err
	}
	return removeEmpty(directory)
}

// removeEmpty removes a directory unless there is something in it.
func removeEmpty(directory string) error {
	if !exists(directory) || !vacant(directory) {
		return nil
	}
	return removeFile(directory)
}
