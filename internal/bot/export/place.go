package export

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxLinks is how many links a path may lead through, as on Linux.
const maxLinks = 40

// open opens the directory that a file is in, and gives the file's name there. Links are followed, the last one too; but not on
// root's behalf to where a link's owner has no rights: he could have any file of the machine replaced. What was
// looked at stays open, so a path that is changed meanwhile leads to nothing else.
func open(path string) (*os.Root, string, error) {
	if !guarded() {
		if resolved, err := filepath.EvalSymlinks(path); err == nil {
			path = resolved
		}
		directory, err := os.OpenRoot(filepath.Dir(path))
		return directory, filepath.Base(path), err
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, "", err
	}
	w := walk{path: path, links: maxLinks}
	if err := w.start(); err != nil {
		return nil, "", err
	}
	if err := w.follow(strings.Split(filepath.ToSlash(path), "/")); err != nil {
		return nil, "", errors.Join(err, w.directory.Close())
	}
	return w.directory, w.name, nil
}

// walk goes to a file, one name after the other.
type walk struct {
	path      string      // where to, for errors
	directory *os.Root    // where it is
	name      string      // of the file there; "" before it is known
	passed    []string    // the directories on the way, none of them a link
	links     int         // that may still come
	strange   fs.FileInfo // a link that is not root's; nil before there is one
}

// start begins at the root of the file system.
func (w *walk) start() error {
	root, err := os.OpenRoot("/")
	if err != nil {
		return err
	}
	if w.directory != nil {
		err = w.directory.Close()
	}
	w.directory, w.passed = root, nil
	return err
}

// follow goes through names, of which the last is a file's.
func (w *walk) follow(names []string) error {
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		if name == "" || name == "." {
			continue
		}
		if name == ".." { // from the beginning again: what is above an open directory can change
			names = append(slices.Clone(w.passed[:max(0, len(w.passed)-1)]), names...)
			if err := w.start(); err != nil {
				return err
			}
			continue
		}
		info, err := w.directory.Lstat(name)
		switch {
		case err == nil && info.Mode()&fs.ModeSymlink != 0:
			target, err := w.enter(name, info)
			if err != nil {
				return err
			}
			names = append(target, names...)
		case len(names) == 0:
			w.name = name
			return w.allowed()
		case err != nil:
			return err
		default:
			if err := w.descend(name); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("%s is a directory", w.path)
}

// enter follows a link: it gives the names that it leads through.
func (w *walk) enter(name string, link fs.FileInfo) ([]string, error) {
	if w.links--; w.links == 0 {
		return nil, fmt.Errorf("%s leads through too many links", w.path)
	}
	target, err := w.directory.Readlink(name)
	if err != nil {
		return nil, err
	}
	if !roots(link) {
		if w.strange != nil && !sameOwner(w.strange, link) {
			return nil, fmt.Errorf("%s leads through links of several users, which are not followed", w.path)
		}
		w.strange = link
	}
	if strings.HasPrefix(target, "/") {
		err = w.start()
	}
	return strings.Split(target, "/"), err
}

// descend enters a directory.
func (w *walk) descend(name string) error {
	next, err := w.directory.OpenRoot(name)
	if err != nil {
		return err
	}
	err = w.directory.Close()
	w.directory, w.passed = next, append(w.passed, name)
	return err
}

// allowed reports an error if somebody's link has led to what is not his.
func (w *walk) allowed() error {
	if w.strange == nil {
		return nil
	}
	here, err := w.directory.Stat(".")
	if err == nil && !sameOwner(w.strange, here) {
		err = fmt.Errorf("a link in %s leads to %s, which belongs to somebody else than the link: make it root's if it is right", w.path, filepath.Join(w.directory.Name(), w.name))
	}
	return err
}
