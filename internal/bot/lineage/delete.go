package lineage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
)

// ErrShared says that another lineage keeps its versions in the same archive directory.
var ErrShared = errors.New("another certificate shares its archive directory")

// Delete removes a lineage: its configuration, links, README and versions. What
// others have put beside these stays. The error is ErrShared if it would take
// another lineage's versions with it, and fs.ErrNotExist if there is no such lineage.
func (s *Store) Delete(name string) error {
	if err := s.delete(name); err != nil {
		return fmt.Errorf("deleting %s: %w", name, err)
	}
	return nil
}

func (s *Store) delete(name string) error {
	l, err := s.loadConf(name)
	if err != nil {
		return err
	}
	lineages, _, err := s.List()
	if err != nil {
		return err
	}
	for _, other := range lineages {
		if other.Name != name && sameDirectory(other.archive, l.archive) {
			return fmt.Errorf("%w: %s", ErrShared, other.Name)
		}
	}
	if err := s.begin(); err != nil {
		return err
	}
	// From here on Recover finishes it, where all is in the usual places.
	home := filepath.Join(s.archives(), name)
	if isRealDirectory(home) {
		if err := atomicfile.Replace(filepath.Join(home, unfinished), nil, 0o644); err != nil {
			return err
		}
	}
	if err := os.Remove(l.ConfPath()); err != nil {
		return err
	}
	if err := atomicfile.SyncDir(s.renewal()); err != nil {
		return err
	}
	for _, kind := range Kinds() {
		err = errors.Join(err, removeFile(l.paths[kind]))
	}
	if l.archive != home {
		err = errors.Join(err, removeVersions(l.archive))
	}
	if l.Live() == filepath.Join(s.lives(), name) {
		err = errors.Join(err, removeLive(l.Live(), l.archive))
	}
	return errors.Join(err, removeVersions(home), removeFile(l.intentPath()))
}
