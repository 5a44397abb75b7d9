package lineage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
)

// AddVersion writes m to the archive as the next version. It is durable and
// whole then, but not live. A crash leaves temporary files, which Recover
// removes, or whole files of some kinds, which make no version; adding the same
// material again completes them.
func (l *Lineage) AddVersion(m Material) (version int, err error) {
	if err := m.Check(); err != nil {
		return 0, fmt.Errorf("adding a version to %s: %w", l.Name, err)
	}
	version, have, err := l.nextVersion(m)
	if err != nil {
		return 0, err
	}
	if err := l.store.begin(); err != nil {
		return 0, err
	}
	if err := l.write(version, m, have); err != nil {
		return 0, fmt.Errorf("adding version %d to %s: %w", version, l.Name, err)
	}
	return version, nil
}

// nextVersion is beyond every version of which there is anything, unless the
// last of these is not live and nothing in it differs from m.
func (l *Lineage) nextVersion(m Material) (version int, have []Kind, err error) {
	present, err := l.present()
	if err != nil {
		return 0, nil, err
	}
	last := 0
	for version := range present {
		last = max(last, version)
	}
	if last == 0 || last == l.Version() {
		return last + 1, nil, nil
	}
	for _, kind := range present[last] {
		if text, err := readFile(l.file(kind, last)); err != nil || !bytes.Equal(text, m.content(kind)) {
			return last + 1, nil, nil
		}
	}
	return last, present[last], nil
}

// write puts the files of a version in their places, but for those it has.
func (l *Lineage) write(version int, m Material, have []Kind) (err error) {
	staged := make(map[Kind]string)
	defer func() {
		for _, path := range staged {
			err = errors.Join(err, removeFile(path))
		}
	}()
	for _, kind := range Kinds() {
		mode, prepare := fs.FileMode(0o644), (func(*os.File) error)(nil)
		if kind == Key {
			if mode, prepare, err = l.keyMode(); err != nil {
				return err
			}
		}
		if staged[kind], err = (atomicfile.File{Mode: mode, Prepare: prepare}).Stage(l.file(kind, version), bytes.NewReader(m.content(kind))); err != nil {
			return err
		}
	}
	for _, kind := range Kinds() {
		// Link fails where there is a file already, which Rename would replace.
		err := os.Link(staged[kind], l.file(kind, version))
		if errors.Is(err, fs.ErrExist) && slices.Contains(have, kind) {
			continue
		}
		if err != nil {
			return err
		}
	}
	return atomicfile.SyncDir(l.archive)
}

// keep is how many versions before the live one Prune leaves.
const keep = 5

// Prune deletes what is older than the live version and the five complete ones
// before it. It does nothing where the links do not agree. A failure is worth a
// warning, and no more.
func (l *Lineage) Prune() error {
	live := l.Version()
	complete, err := l.Versions()
	if err != nil || live == 0 {
		return err
	}
	oldest, kept := live, 0
	for i := len(complete) - 1; i >= 0 && kept < keep; i-- {
		if complete[i] < live {
			oldest = complete[i]
			kept++
		}
	}
	present, err := l.present()
	if err != nil || kept < keep {
		return err
	}
	needed := l.reusedKeys(present, oldest)
	for version, kinds := range present {
		for _, kind := range kinds {
			if path := l.file(kind, version); version < oldest && !needed[path] {
				err = errors.Join(err, removeFile(path))
			}
		}
	}
	if err != nil {
		return fmt.Errorf("removing old versions of %s: %w", l.Name, err)
	}
	return nil
}

// reusedKeys lists the old keys that kept versions lead to: up to certbot 2,
// --reuse-key made a link to the key before.
func (l *Lineage) reusedKeys(present map[int][]Kind, oldest int) map[string]bool {
	needed := make(map[string]bool)
	for version := range present {
		path := l.file(Key, version)
		for range len(present) { // a link may lead to a link
			target, err := linkTarget(path)
			if version < oldest || err != nil {
				break
			}
			path = target
			needed[path] = true
		}
	}
	return needed
}
