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
)

// Recover finishes or takes back what a crash has left half done. It touches
// only what carries this package's mark, and links of a lineage that do not
// lead to one version. Doing it twice is doing it once. Open calls it where a run was broken off;
// what certbot has broken off is put in order by Load.
// An error about one lineage does not keep the others from being put in order.
func (s *Store) Recover() error {
	steps := []func() error{s.finishRenames, s.finishDeployments, s.removeSiblings, s.removeUnfinished, s.repairLinks, s.sweep}
	var failed error
	for _, step := range steps {
		failed = errors.Join(failed, step())
	}
	if failed != nil {
		return fmt.Errorf("recovering: %w", failed)
	}
	return nil
}

// marked lists what of a directory begins with a prefix, without it.
func marked(directory, prefix string) ([]string, error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if name, found := strings.CutPrefix(entry.Name(), prefix); found {
			names = append(names, name)
		}
	}
	return names, nil
}

// finishDeployments carries out written intents.
func (s *Store) finishDeployments() error {
	marks, err := marked(s.renewal(), intentPrefix)
	for _, mark := range marks {
		err = errors.Join(err, s.finishDeployment(mark))
	}
	return err
}

func (s *Store) finishDeployment(mark string) error {
	path := filepath.Join(s.renewal(), intentPrefix+mark)
	l, err := s.byMark(mark)
	if errors.Is(err, fs.ErrNotExist) {
		return removeFile(path) // deleted since
	}
	if err != nil {
		return err
	}
	text, err := readFile(path)
	if err != nil {
		return err
	}
	var todo intent
	if err := json.Unmarshal(text, &todo); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if !l.complete(todo.Version) {
		return removeFile(path) // nobody deletes versions meanwhile; repairLinks does what can be done
	}
	return l.finishRelink(todo.Version)
}

// removeSiblings removes directories that were to change places with a live
// one, or have done so.
func (s *Store) removeSiblings() error {
	marks, err := marked(s.lives(), siblingPrefix)
	for _, mark := range marks {
		sibling := filepath.Join(s.lives(), siblingPrefix+mark)
		if l, loadErr := s.byMark(mark); loadErr == nil {
			err = errors.Join(err, l.dismantle(sibling))
		} else if errors.Is(loadErr, fs.ErrNotExist) {
			err = errors.Join(err, removeLive(sibling, ""))
		}
	}
	return err
}

// removeUnfinished takes back lineages whose creation has come to nothing, and
// finishes the removal of deleted ones.
func (s *Store) removeUnfinished() error {
	entries, err := os.ReadDir(s.archives())
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), newPrefix) {
			err = errors.Join(err, removeVersions(filepath.Join(s.archives(), entry.Name())))
			continue
		}
		sign := filepath.Join(s.archives(), entry.Name(), unfinished)
		switch {
		case !exists(sign):
		case hasContent(s.confPath(entry.Name())):
			err = errors.Join(err, removeFile(sign)) // it was created; only the mark is left
		default:
			err = errors.Join(err, s.takeBack(entry.Name()))
		}
	}
	return err
}

// hasContent tells a renewal configuration from the empty file that certbot
// leaves when it finds the directories of that name in use.
func hasContent(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() > 0
}

// repairLinks deploys the latest good version of lineages whose links are
// missing or do not agree, as they may be when certbot was interrupted.
func (s *Store) repairLinks() error {
	names, err := s.Names()
	for _, name := range names {
		l, loadErr := s.loadConf(name)
		if loadErr != nil || l.Version() != 0 {
			continue // List tells about the former
		}
		err = errors.Join(err, l.repairLink())
	}
	return err
}

func (l *Lineage) repairLink() error {
	versions, err := l.Versions()
	if err != nil {
		return nil // there is no archive: List tells about it
	}
	for _, kind := range Kinds() {
		info, err := os.Lstat(l.paths[kind])
		if err == nil && info.Mode()&fs.ModeSymlink == 0 || err != nil && !isRealDirectory(filepath.Dir(l.paths[kind])) {
			return nil // somebody has made a file of it, or removed it all, and had a reason
		}
		if target, err := linkTarget(l.paths[kind]); err == nil && exists(target) && !l.archived(target) {
			return nil // it was led elsewhere: List tells about it
		}
	}
	for _, version := range slices.Backward(versions) {
		if _, err := l.Material(version); err == nil {
			return l.relink(version)
		}
	}
	return nil
}

// sweep removes temporary files.
func (s *Store) sweep() error {
	err := sweepTemporary(s.renewal())
	for _, top := range []string{s.archives(), s.lives(), filepath.Join(s.dirs.Config, "accounts")} {
		err = errors.Join(err, filepath.WalkDir(top, func(path string, entry fs.DirEntry, walkErr error) error {
			if walkErr != nil || !entry.IsDir() {
				return walkErr
			}
			return sweepTemporary(path)
		}))
	}
	return err
}
