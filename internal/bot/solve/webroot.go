package solve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// WebrootConfig says where a Webroot puts its files.
type WebrootConfig struct {
	Roots map[string]string // a name, without a wildcard → the directory that its web server serves as "/"
	Sites *Sites            // shared with other solvers of the process; nil makes one for this solver alone
}

// Webroot answers http-01 challenges by putting files where a web server that
// runs anyway serves them.
type Webroot struct{ config WebrootConfig }

// NewWebroot checks that the directories are there.
func NewWebroot(c WebrootConfig) (*Webroot, error) {
	for _, root := range c.Roots {
		if info, err := os.Stat(root); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("%s does not exist or is not a directory", root)
		}
	}
	if c.Sites == nil {
		c.Sites = NewSites()
	}
	return &Webroot{config: c}, nil
}

// Types is http-01.
func (w *Webroot) Types(acme.Identifier, bool) []acme.ChallengeType {
	return []acme.ChallengeType{acme.HTTP01}
}

// Present writes the file that answers c, with the directories above it where they are missing.
func (w *Webroot) Present(_ context.Context, c renew.Challenge) error {
	if err := checkToken(c); err != nil {
		return err
	}
	root, ok := w.config.Roots[c.Identifier.Value]
	if !ok {
		return fmt.Errorf("no webroot is known for %s", c.Identifier)
	}
	if err := w.config.Sites.add(root, c); err != nil {
		return fmt.Errorf("answering the challenge for %s: %w", c.Identifier, err)
	}
	return nil
}

// CleanUp removes the file for c and, after the last one below a root, the directories made there.
func (w *Webroot) CleanUp(_ context.Context, c renew.Challenge) error {
	if err := w.config.Sites.remove(w.config.Roots[c.Identifier.Value], c.Token); err != nil {
		return fmt.Errorf("removing the answer to a challenge: %w", err)
	}
	return nil
}

// Sites are the webroots that the solvers of one process have files in. Several orders at once
// can share one: the first makes its directories, the last removes them.
type Sites struct {
	mu   sync.Mutex
	open map[string]*site // by root; guarded by mu, with all that is in them
}

// NewSites begins with none.
func NewSites() *Sites { return &Sites{open: make(map[string]*site)} }

func (s *Sites) add(root string, c renew.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	site, err := s.open[root], error(nil)
	if site == nil {
		if site, err = openSite(root); err != nil {
			return err
		}
	}
	if site.answers[c.Token] == 0 {
		err = writeAnswer(site.directory(), c)
	}
	if err != nil {
		if len(site.answers) == 0 {
			site.close()
		}
		return err
	}
	site.answers[c.Token]++
	s.open[root] = site
	return nil
}

func (s *Sites) remove(root, token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	site := s.open[root]
	if site == nil || site.answers[token] == 0 {
		return nil
	}
	var err error
	if site.answers[token]--; site.answers[token] == 0 {
		delete(site.answers, token)
		err = site.directory().Remove(token)
	}
	if len(site.answers) == 0 {
		delete(s.open, root)
		site.close()
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // somebody else has removed it
	}
	return err
}

// site is one webroot in use. Its directories stay open until everything in them has
// been taken back: their owner may put others under their names meanwhile, and this
// process, which may be root's, must not remove anything there.
type site struct {
	levels  []*os.Root     // the root, and each directory down to that of the answers
	made    []string       // the name of each level that was made here; "" for one that was there
	answers map[string]int // token → how often it was presented
}

// directory is where the answers go.
func (s *site) directory() *os.Root { return s.levels[len(s.levels)-1] }

// close removes what was made, innermost first, and gives the directories up. One that is
// not empty, because a stranger's files are in it, stays.
func (s *site) close() {
	gone := true
	for i := len(s.levels) - 1; i >= 0; i-- {
		_ = s.levels[i].Close() // it was only read
		if gone = gone && i > 0 && s.made[i] != ""; gone {
			err := s.levels[i-1].Remove(s.made[i])
			gone = err == nil || errors.Is(err, fs.ErrNotExist)
		}
	}
}

// openSite opens the directory for challenge files, and makes it if need be.
// What is made can be entered by the web server, and belongs to whom the root belongs
// to. That owner may be up to no good while this process is root, so everything is
// done below open directories.
func openSite(root string) (_ *site, err error) {
	top, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	s := &site{levels: []*os.Root{top}, made: []string{""}, answers: make(map[string]int)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	owner, err := top.Stat(".")
	if err != nil {
		return nil, err
	}
	for _, name := range strings.Split(strings.Trim(acme.HTTP01Path, "/"), "/") {
		parent, made := s.directory(), name
		err := parent.Mkdir(name, 0o755)
		if err == nil {
			// The mode is set again because of the umask.
			if err = parent.Chmod(name, 0o755); err == nil && owner != nil {
				err = giveTo(parent, name, owner)
			}
			if err != nil {
				return nil, errors.Join(err, parent.Remove(name))
			}
		}
		var child *os.Root
		if errors.Is(err, fs.ErrExist) {
			made = ""
			var followed bool
			if child, followed, err = enter(parent, name); followed {
				owner = nil // who owns the link does not become the owner of what is made behind it
			}
		} else if err == nil {
			child, err = parent.OpenRoot(name)
		}
		if err != nil {
			return nil, err
		}
		s.levels, s.made = append(s.levels, child), append(s.made, made)
	}
	return s, nil
}

// enter opens a directory that was there before. A link is followed, for many sites share
// one directory that way; but not on root's behalf to where the link's owner has no rights.
func enter(parent *os.Root, name string) (child *os.Root, followed bool, err error) {
	link, err := parent.Lstat(name)
	if err != nil {
		return nil, false, err
	}
	if link.Mode()&fs.ModeSymlink == 0 {
		child, err = parent.OpenRoot(name)
		return child, false, err
	}
	target, err := parent.Readlink(name)
	if err != nil {
		return nil, true, err
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(parent.Name(), target)
	}
	if child, err = os.OpenRoot(target); err != nil {
		return nil, true, err
	}
	info, err := child.Stat(".")
	now, nowErr := parent.Lstat(name)
	if err = errors.Join(err, nowErr); err == nil && !(os.SameFile(link, now) && mayFollow(link, info)) {
		err = fmt.Errorf("%s is a link to %s, which belongs to somebody else than the link: make it root's if it is right",
			filepath.Join(parent.Name(), name), target)
	}
	if err != nil {
		return nil, true, errors.Join(err, child.Close())
	}
	return child, true, nil
}

// writeAnswer makes a file that everyone may read. One that is there already is an error, unless it begins as the answer
// does: a run before this one may have been killed while it wrote that, or before everyone might read it.
func writeAnswer(directory *os.Root, c renew.Challenge) error {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := directory.OpenFile(c.Token, flags, 0o644)
	if errors.Is(err, fs.ErrExist) && begun(directory, c.Token, c.KeyAuthorization) {
		if err = directory.Remove(c.Token); err == nil {
			f, err = directory.OpenFile(c.Token, flags, 0o644)
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

// begun reports whether a file has that text or the beginning of it. It does not wait for what is not a file, such as a pipe.
func begun(directory *os.Root, name, text string) bool {
	info, err := directory.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > int64(len(text)) {
		return false
	}
	f, err := directory.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	got, err := io.ReadAll(io.LimitReader(f, int64(len(text))+1))
	return err == nil && strings.HasPrefix(text, string(got))
}
