// Package schedule has renewals happen by themselves: it writes the units of systemd, or the line of cron, that start
// this program, and takes them away again. What runs then is shut in as far as its work allows, because it talks
// to strangers: it can write where certificates and webroots are, and nowhere else.
package schedule

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
)

// Kind is a way to be started.
type Kind string

// The kinds.
const (
	Timer   Kind = "timer"   // a timer of systemd, twice a day
	Daemon  Kind = "daemon"  // a service of systemd that stays and knows when something is due
	Sockets Kind = "sockets" // such a service without root's rights, for which systemd opens the ports
	Cron    Kind = "cron"    // where there is no systemd
)

// Config says what is to be started, and how.
type Config struct {
	Kind    Kind
	Program string // its absolute path
	// Directories are those that the program works in; Arguments name them to it, where they are not the usual ones.
	Directories []string
	Arguments   []string
	Writable    []string // what else may be written: webroots, and where hooks put things
	// User runs the program for Sockets, and Group is who may read what it writes. The system makes the user if it is not there.
	User, Group string
	Ports       []int // the ports for Sockets
	Minute      int   // of the hour, for Cron: drawn, so that machines do not come all at once
}

// File is one file to write.
type File struct {
	Path    string // absolute
	Content string
}

// Where the files go.
const (
	unitDirectory = "/etc/systemd/system"
	cronFile      = "/etc/cron.d/cairnbot"
	usersFile     = "/etc/sysusers.d/cairnbot.conf"
	tmpfilesFile  = "/etc/tmpfiles.d/cairnbot.conf"
	renewService  = unitDirectory + "/cairnbot-renew.service"
	renewTimer    = unitDirectory + "/cairnbot-renew.timer"
	daemonService = unitDirectory + "/cairnbot.service"
	daemonSocket  = unitDirectory + "/cairnbot.socket"
)

// all are the files that this package writes, whatever the kind.
var all = []string{renewService, renewTimer, daemonService, daemonSocket, usersFile, tmpfilesFile, cronFile}

// mark begins each file, so that no other is taken for ours.
const mark = "# Written by \"cairnbot schedule\", which also removes it (--remove). Changes belong into a drop-in.\n"

// cronMark is the same for cron, which knows no drop-ins.
const cronMark = "# Written by \"cairnbot schedule\", which also removes it (--remove).\n"

// Files works out what to write for c.
func Files(c Config) ([]File, error) {
	strange := func(text string) bool {
		return strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == 127 })
	}
	for _, path := range slices.Concat([]string{c.Program}, c.Directories, c.Writable) {
		if !filepath.IsAbs(path) || strange(path) {
			return nil, fmt.Errorf("%q cannot be written into a schedule: it must be a whole path, without quotation marks and control characters", path)
		}
	}
	if i := slices.IndexFunc(c.Arguments, strange); i >= 0 {
		return nil, fmt.Errorf("%q cannot be written into a schedule: it has quotation marks or control characters", c.Arguments[i])
	}
	switch c.Kind {
	case Timer:
		return []File{{renewService, c.renewService()}, {renewTimer, timerUnit}}, nil
	case Daemon:
		return []File{{daemonService, c.daemonService()}}, nil
	case Sockets:
		for _, name := range []string{c.User, c.Group} {
			if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isNameRune(r) }) {
				return nil, fmt.Errorf("%q is not the name of a user or group", name)
			}
		}
		return []File{{usersFile, c.users()}, {tmpfilesFile, c.tmpfiles()}, {daemonSocket, c.socket()}, {daemonService, c.daemonService()}}, nil
	case Cron:
		line, err := c.cron()
		return []File{{cronFile, line}}, err
	}
	return nil, fmt.Errorf("%q is no kind of schedule", c.Kind)
}

func isNameRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-'
}

// Unit is what has to be enabled for a kind; "" for cron, which looks by itself.
func Unit(kind Kind) string {
	switch kind {
	case Timer:
		return "cairnbot-renew.timer"
	case Daemon:
		return "cairnbot.service"
	case Sockets:
		return "cairnbot.socket"
	default:
		return ""
	}
}

// Units are all that may be enabled.
func Units() []string { return []string{"cairnbot-renew.timer", "cairnbot.service", "cairnbot.socket"} }

// Detect says which kind suits the system below root.
func Detect(root string) Kind {
	if info, err := os.Stat(filepath.Join(root, "/run/systemd/system")); err == nil && info.IsDir() {
		return Timer // what systemd itself documents as the sign that it runs (sd_booted(3))
	}
	return Cron
}

// others are what starts a certbot by itself: of Debian, of Fedora, of the snap.
var others = []string{
	"/etc/systemd/system/certbot.timer", "/lib/systemd/system/certbot.timer", "/usr/lib/systemd/system/certbot.timer",
	"/etc/systemd/system/certbot-renew.timer", "/lib/systemd/system/certbot-renew.timer", "/usr/lib/systemd/system/certbot-renew.timer",
	"/etc/systemd/system/snap.certbot.renew.timer", "/etc/cron.d/certbot", "/etc/cron.daily/certbot",
}

// Installed reports whether Write has been here.
func Installed(root string) bool {
	return slices.ContainsFunc([]string{renewTimer, daemonService, cronFile}, func(path string) bool {
		whole := filepath.Join(root, path)
		ours, err := isOurs(whole)
		return err == nil && ours && exists(whole)
	})
}

// Others lists what is there below root that starts a certbot already.
func Others(root string) []string {
	var found []string
	var seen []os.FileInfo
	for _, path := range others {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil || slices.ContainsFunc(seen, func(other os.FileInfo) bool { return os.SameFile(info, other) }) { // /lib is /usr/lib in most systems
			continue
		}
		found, seen = append(found, path), append(seen, info)
	}
	if text, err := os.ReadFile(filepath.Join(root, "/etc/crontab")); err == nil {
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(strings.TrimSpace(line), "#") && (strings.Contains(line, "certbot") || strings.Contains(line, "letsencrypt")) {
				return append(found, "/etc/crontab")
			}
		}
	}
	return found
}

// ErrForeign says that a file is there which is not ours.
var ErrForeign = errors.New("is there, and was not written by us: move it away first")

// Write puts files below root, and takes away those of ours that are not among them: another kind was chosen before.
func Write(root string, files []File) error {
	keep := make(map[string]bool)
	for _, f := range files {
		keep[f.Path] = true
		if ours, err := isOurs(filepath.Join(root, f.Path)); err != nil || !ours {
			return errors.Join(err, foreign(f.Path, ours, err))
		}
	}
	for _, f := range files {
		path := filepath.Join(root, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("making the directory for %s: %w", f.Path, err)
		}
		if err := atomicfile.Replace(path, []byte(f.Content), 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", f.Path, err)
		}
	}
	_, err := remove(root, keep)
	return err
}

func foreign(path string, ours bool, err error) error {
	if ours || err != nil {
		return nil
	}
	return fmt.Errorf("%s %w", path, ErrForeign)
}

// Remove takes our files away, and says which.
func Remove(root string) ([]string, error) { return remove(root, nil) }

func remove(root string, keep map[string]bool) (removed []string, err error) {
	for _, path := range all {
		whole := filepath.Join(root, path)
		if keep[path] || !exists(whole) {
			continue
		}
		if ours, err := isOurs(whole); err != nil || !ours {
			continue // somebody else's
		}
		if err := os.Remove(whole); err != nil {
			return removed, fmt.Errorf("removing %s: %w", path, err)
		}
		removed = append(removed, path)
	}
	return removed, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// isOurs reports whether path is free to be written: not there, or written by us before.
func isOurs(path string) (bool, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return !exists(path), nil // a link to nowhere: a unit that was masked
	}
	return strings.HasPrefix(string(text), cronMark[:len(cronMark)-1]), err
}
