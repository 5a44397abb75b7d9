package lineage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
)

// renamePrefix begins the name of a file in renewal that says which lineage is being given which name.
const renamePrefix = ours + "rename-"

// renaming is the content of that file.
type renaming struct {
	From string `json:"from"`
	To   string `json:"to"`
	Link bool   `json:"link"` // whether live/FROM is to lead to live/TO
}

func (s *Store) renamePath(r renaming) string {
	return filepath.Join(s.renewal(), renamePrefix+mark(r.To))
}

// Rename gives a lineage another name: configuration, archive and live directory, with all that others have put there. With
// link, live/FROM leads to the new directory, so that servers that name it go on.
//
//	the intent is written
//	archive/TO and live/TO are built: the same files under second names
//	renewal/TO.conf is put in its place    a crash before leaves FROM; from here on, Recover leads to TO
//	renewal/FROM.conf, live/FROM and archive/FROM are removed
//	the intent is removed
//
// At each moment one of the two is whole. The error is fs.ErrNotExist if there is no such lineage, fs.ErrExist if
// there is something of the new name, and ErrShared if another lineage has its versions in the same directory.
func (s *Store) Rename(from, to string, link bool) error {
	r := renaming{From: from, To: to, Link: link}
	err := s.rename(r)
	if err != nil {
		return fmt.Errorf("renaming %s to %s: %w", from, to, err)
	}
	return nil
}

func (s *Store) rename(r renaming) error {
	l, err := s.Load(r.From)
	if err != nil {
		return err
	}
	if err := s.renamable(l, r); err != nil {
		return err
	}
	if err := s.begin(); err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := atomicfile.Replace(s.renamePath(r), text, 0o600); err != nil {
		return err
	}
	if err := s.build(l, r); err != nil {
		return errors.Join(err, s.finishRename(r), s.takeBack(r.To))
	}
	return s.finishRename(r)
}

// renamable refuses what cannot be renamed, before anything is changed.
func (s *Store) renamable(l *Lineage, r renaming) error {
	if err := CheckName(r.To); err != nil {
		return err
	}
	if len(r.To) > maxNewName {
		return fmt.Errorf("the name %.40s… is too long for a file: choose one of at most %d bytes", r.To, maxNewName)
	}
	live, archive := filepath.Join(s.lives(), r.From), filepath.Join(s.archives(), r.From)
	if l.archive != archive || !isRealDirectory(archive) || !isRealDirectory(live) {
		return errors.New("its files are not in the usual places, where they can be moved")
	}
	for _, kind := range Kinds() {
		if l.paths[kind] != filepath.Join(live, string(kind)+".pem") {
			return errors.New("its files are not in the usual places, where they can be moved")
		}
	}
	if exists(s.confPath(r.To)) || !vacant(filepath.Join(s.archives(), r.To)) || !vacant(filepath.Join(s.lives(), r.To)) {
		return fmt.Errorf("there is something of the name %s: %w", r.To, fs.ErrExist)
	}
	lineages, _, err := s.List()
	if err != nil {
		return err
	}
	for _, other := range lineages {
		if other.Name != l.Name && sameDirectory(other.archive, l.archive) {
			return fmt.Errorf("%w: %s", ErrShared, other.Name)
		}
	}
	return nil
}

// build makes the new directories, and the configuration with which the lineage has its new name.
func (s *Store) build(l *Lineage, r renaming) error {
	archive, live := filepath.Join(s.archives(), r.To), filepath.Join(s.lives(), r.To)
	newArchive, newLive := filepath.Join(s.archives(), newPrefix+mark(r.To)), s.sibling(r.To)
	for _, step := range []struct{ from, to string }{{l.archive, newArchive}, {l.Live(), newLive}} {
		if err := os.Mkdir(step.to, 0o700); err != nil {
			return err
		}
		if err := twin(step.from, step.to, r); err != nil {
			return err
		}
		if err := carryMode(step.from, step.to); err != nil {
			return err
		}
	}
	if err := atomicfile.Create(filepath.Join(newArchive, unfinished), nil, 0o644); err != nil {
		return err
	}
	if err := errors.Join(atomicfile.SyncDir(newLive), moveIn(newArchive, archive), moveIn(newLive, live)); err != nil {
		return err
	}
	conf, err := ParseConf(l.Conf.Bytes())
	if err != nil {
		return err
	}
	root := conf.document.Root()
	err = root.Set("archive_dir", String(archive))
	for _, kind := range Kinds() {
		err = errors.Join(err, root.Set(string(kind), String(filepath.Join(live, string(kind)+".pem"))))
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(l.ConfPath())
	if err != nil {
		return err
	}
	return atomicfile.Create(s.confPath(r.To), conf.Bytes(), info.Mode().Perm())
}

// twin gives everything in a directory a second name in another. Links to versions lead to the new archive.
func twin(from, to string, r renaming) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path, next := filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())
		switch {
		case entry.Name() == unfinished:
			continue
		case entry.IsDir():
			return fmt.Errorf("there is a directory in %s, which cannot have two names: move %s elsewhere first", from, path)
		case entry.Type()&fs.ModeSymlink != 0:
			target, readErr := os.Readlink(path)
			if err = readErr; err == nil {
				err = os.Symlink(leadsTo(target, r), next)
			}
		default:
			err = os.Link(path, next)
		}
		if err != nil {
			return err
		}
	}
	return atomicfile.SyncDir(to)
}

// leadsTo is the target of a link after a renaming: archive/FROM/x.pem, however it is spelled, becomes archive/TO/x.pem.
func leadsTo(target string, r renaming) string {
	directory := filepath.Dir(target)
	if filepath.Base(directory) == r.From && filepath.Base(filepath.Dir(directory)) == "archive" {
		return filepath.Join(filepath.Dir(directory), r.To, filepath.Base(target))
	}
	return target
}

// finishRename ends what an intent says, from wherever it was left.
func (s *Store) finishRename(r renaming) error {
	keep, drop := r.To, r.From
	if !hasContent(s.confPath(r.To)) {
		keep, drop = r.From, r.To // it has not come to that
	}
	archive := filepath.Join(s.archives(), drop)
	if keep == r.To {
		if isRealDirectory(archive) {
			if err := atomicfile.Replace(filepath.Join(archive, unfinished), nil, 0o644); err != nil {
				return err
			}
		}
		if err := removeFile(s.confPath(drop)); err != nil {
			return err
		}
		if err := atomicfile.SyncDir(s.renewal()); err != nil {
			return err
		}
	}
	for _, top := range []string{s.lives(), s.archives()} {
		if err := dropTwins(filepath.Join(top, drop), filepath.Join(top, keep)); err != nil {
			return err
		}
	}
	for _, left := range []string{s.sibling(r.To), filepath.Join(s.archives(), newPrefix+mark(r.To))} {
		if err := os.RemoveAll(left); err != nil {
			return err
		}
	}
	if err := errors.Join(removeLive(filepath.Join(s.lives(), drop), archive), removeVersions(archive)); err != nil {
		return err
	}
	if keep == r.To {
		if err := removeFile(filepath.Join(s.archives(), keep, unfinished)); err != nil {
			return err
		}
		if link := filepath.Join(s.lives(), drop); r.Link && !exists(link) {
			if err := os.Symlink(r.To, link); err != nil {
				return err
			}
		}
	}
	return errors.Join(atomicfile.SyncDir(s.lives()), atomicfile.SyncDir(s.archives()), removeFile(s.renamePath(r)), atomicfile.SyncDir(s.renewal()))
}

// dropTwins removes from one directory what has a second name in another.
func dropTwins(from, other string) error {
	if !isRealDirectory(from) {
		return nil
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(from, entry.Name())
		mine, err := os.Lstat(path)
		if err != nil {
			return err
		}
		twin, err := os.Lstat(filepath.Join(other, entry.Name()))
		links := err == nil && mine.Mode()&fs.ModeSymlink != 0 && twin.Mode()&fs.ModeSymlink != 0
		if err == nil && (links || os.SameFile(mine, twin)) {
			if err := removeFile(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// finishRenames carries out written intents.
func (s *Store) finishRenames() error {
	marks, err := marked(s.renewal(), renamePrefix)
	for _, mark := range marks {
		path := filepath.Join(s.renewal(), renamePrefix+mark)
		text, readErr := readFile(path)
		var r renaming
		if readErr == nil {
			readErr = json.Unmarshal(text, &r)
		}
		if readErr == nil {
			readErr = errors.Join(CheckName(r.From), CheckName(r.To))
		}
		if readErr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", path, readErr))
			continue
		}
		err = errors.Join(err, s.finishRename(r))
	}
	return err
}
