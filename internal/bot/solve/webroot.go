package solve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// Webroot answers http-01 challenges by putting files where a web server that
// runs anyway serves them.
type Webroot struct {
	roots map[string]string   // a name → the directory that its web server serves
	files map[string]string   // token → the file that answers it
	made  map[string][]string // directory → the directories made in it, outermost first
}

// NewWebroot takes, for each name, the directory that its web server serves as "/".
func NewWebroot(roots map[string]string) (*Webroot, error) {
	for _, root := range roots {
		if info, err := os.Stat(root); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("%s does not exist or is not a directory", root)
		}
	}
	return &Webroot{roots: roots, files: make(map[string]string), made: make(map[string][]string)}, nil
}

// Type is http-01.
func (w *Webroot) Type() acme.ChallengeType { return acme.HTTP01 }

// Present writes the file that answers c, with the directories above it where they are missing.
func (w *Webroot) Present(_ context.Context, c renew.Challenge) error {
	if err := checkToken(c); err != nil {
		return err
	}
	root, ok := w.roots[c.Identifier.Value]
	if !ok {
		return fmt.Errorf("no webroot is known for %s", c.Identifier)
	}
	directory, err := w.makeDirectories(root)
	if err == nil {
		defer directory.Close()
		if err = writeAnswer(directory, c); err == nil {
			w.files[c.Token] = filepath.Join(root, filepath.FromSlash(acme.HTTP01Path), c.Token)
			return nil
		}
	}
	w.removeDirectories(root)
	return fmt.Errorf("answering the challenge for %s: %w", c.Identifier, err)
}

// makeDirectories opens the directory for challenge files, and makes it if need be.
// What is made belongs to whom the root belongs to, and can be entered by the web
// server. That owner may be up to no good while this process is root, so modes and
// owners are only set below an open directory; a link that was there before is
// followed, for many sites share one directory that way.
func (w *Webroot) makeDirectories(root string) (*os.Root, error) {
	owner, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	parent, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	path := root
	for _, name := range strings.Split(strings.Trim(acme.HTTP01Path, "/"), "/") {
		path = filepath.Join(path, name)
		var child *os.Root
		err := parent.Mkdir(name, 0o755)
		if err == nil {
			w.made[root] = append(w.made[root], path)
			// The mode is set again because of the umask.
			err = errors.Join(parent.Chmod(name, 0o755), giveTo(parent, name, owner))
		}
		if errors.Is(err, fs.ErrExist) {
			child, err = os.OpenRoot(path)
		} else if err == nil {
			child, err = parent.OpenRoot(name)
		}
		_ = parent.Close() // it was only read
		if err != nil {
			return nil, err
		}
		parent = child
	}
	return parent, nil
}

// writeAnswer makes a file that everyone may read. One that is there already is an
// error, unless it is the same answer: a run before this one may have been killed.
func writeAnswer(directory *os.Root, c renew.Challenge) error {
	f, err := directory.OpenFile(c.Token, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		if old, readErr := directory.ReadFile(c.Token); readErr == nil && string(old) == c.KeyAuthorization {
			return nil
		}
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(c.KeyAuthorization)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		_ = directory.Remove(c.Token)
	}
	return err
}

// CleanUp removes the file for c and, after the last one below a root, the directories made there.
func (w *Webroot) CleanUp(_ context.Context, c renew.Challenge) error {
	file, ok := w.files[c.Token]
	if !ok {
		return nil
	}
	delete(w.files, c.Token)
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the answer to a challenge: %w", err)
	}
	w.removeDirectories(w.roots[c.Identifier.Value])
	return nil
}

// removeDirectories removes what was made below root. One that is not empty, because
// other answers or a stranger's files are in it, stays.
func (w *Webroot) removeDirectories(root string) {
	for made := w.made[root]; len(made) > 0; made = w.made[root] {
		innermost := made[len(made)-1]
		if err := os.Remove(innermost); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
		w.made[root] = made[:len(made)-1]
	}
}
