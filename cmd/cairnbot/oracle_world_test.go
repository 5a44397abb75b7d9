package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// world is where one of the two programs works: its tree, and its CA.
type world struct {
	program string
	root    string
	sights  []sight // one after each compared command

	pebble *pebbletest.Server
	server *http.Server // of $WEB, while it is served
	env    []string
}

// sight is all that is compared after a command.
type sight struct {
	command        string
	exit           int
	stdout, stderr string
	tree           map[string]string // path below the world: "dir 0755", "file 0644", "link TARGET"
	conf           map[string]string // FILE [SECTION] KEY: value
}

// play runs the lines of a scenario. Whether authorizations are used again does not hang on
// chance: the scenario says so by its name.
func (w *world) play(name string, lines []string) error {
	reuse := "PEBBLE_AUTHZREUSE=0"
	if strings.HasPrefix(name, "reuse") {
		reuse = "PEBBLE_AUTHZREUSE=100"
	}
	for _, dir := range []string{"pebble", "bin", "web", "home"} {
		if err := os.Mkdir(filepath.Join(w.root, dir), 0o755); err != nil {
			return err
		}
	}
	var err error
	// certbot 2.1 repeats a request whose nonce was refused once only.
	if w.pebble, err = pebbletest.Start(filepath.Join(w.root, "pebble"), reuse, "PEBBLE_WFE_NONCEREJECT=0"); err != nil {
		return err
	}
	defer w.pebble.Stop()
	defer w.unserve()
	wrapper := fmt.Sprintf("#!/bin/sh\nexec %s \"$@\" --config-dir \"$ETC\" --work-dir \"$LIB\" --logs-dir \"$LOG\"\n", w.program)
	if err := os.WriteFile(filepath.Join(w.root, "bin", "certbot"), []byte(wrapper), 0o755); err != nil {
		return err
	}
	w.env = append(os.Environ(),
		"PATH="+filepath.Join(w.root, "bin")+":"+os.Getenv("PATH"), "HOME="+filepath.Join(w.root, "home"), "XDG_CONFIG_HOME="+filepath.Join(w.root, "home", ".config"),
		"REQUESTS_CA_BUNDLE="+w.pebble.Bundle, "SERVER="+w.pebble.Directory, "PORT="+strconv.Itoa(w.pebble.HTTPPort),
		"TMPDIR="+filepath.Join(w.root, "home"), "LC_ALL=C.UTF-8",
		"FRONT=--no-verify-ssl --http-01-port "+strconv.Itoa(w.pebble.HTTPPort)+" --https-port 5001 --non-interactive --no-redirect --agree-tos"+
			" --register-unsafely-without-email --debug -vv --authenticator standalone --installer null",
		"BACK=--no-random-sleep-on-renew --renew-by-default --server "+w.pebble.Directory,
	)
	for name, dir := range map[string]string{"ETC": "etc", "LIB": "lib", "LOG": "log", "WEB": "web", "HERE": ""} {
		w.env = append(w.env, name+"="+filepath.Join(w.root, dir))
	}
	for _, line := range lines {
		if err := w.line(line); err != nil {
			return fmt.Errorf("%s: %s: %w", filepath.Base(w.program), line, err)
		}
	}
	return nil
}

// commandTimeout is far beyond what a command takes.
const commandTimeout = 2 * time.Minute

// line does what one line of a scenario says.
func (w *world) line(line string) error {
	switch line {
	case "serve":
		listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(w.pebble.HTTPPort))
		if err != nil {
			return err
		}
		w.server = &http.Server{Handler: http.FileServer(http.Dir(filepath.Join(w.root, "web")))}
		go func() { _ = w.server.Serve(listener) }() // ends with Close
		return nil
	case "unserve":
		w.unserve()
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	shell := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	shell.Dir, shell.Env, shell.Stdout, shell.Stderr = w.root, w.env, &stdout, &stderr
	err := shell.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		return err
	}
	if !strings.HasPrefix(line, "certbot") {
		if err != nil {
			return fmt.Errorf("%w: %s", err, stderr.String())
		}
		return nil
	}
	s := sight{command: line, exit: shell.ProcessState.ExitCode(), stdout: w.plain(stdout.String()), stderr: w.plain(stderr.String()),
		tree: make(map[string]string), conf: make(map[string]string)}
	if err := w.look(&s); err != nil {
		return err
	}
	w.sights = append(w.sights, s)
	return nil
}

func (w *world) unserve() {
	if w.server != nil {
		_ = w.server.Close()
		w.server = nil
	}
}

// What is different in each world by its nature.
var (
	accountID = regexp.MustCompile(`\b[0-9a-f]{32}\b`)
	csrOrKey  = regexp.MustCompile(`\b\d{4}_(csr|key)-certbot`)
)

// plain replaces what differs by nature: where the tree is, ports, names of accounts.
func (w *world) plain(text string) string {
	text = strings.ReplaceAll(text, w.root+"/", "/")
	text = strings.ReplaceAll(text, strings.TrimSuffix(strings.TrimPrefix(w.pebble.Directory, "https://"), "/dir"), "SERVER")
	text = strings.ReplaceAll(text, strconv.Itoa(w.pebble.HTTPPort), "PORT")
	return accountID.ReplaceAllString(csrOrKey.ReplaceAllString(text, "N_$1-certbot"), "ACCOUNT")
}

// look notes the tree and the renewal configurations.
func (w *world) look(s *sight) error {
	for _, top := range []string{"etc", "lib", "log", "web"} {
		err := filepath.WalkDir(filepath.Join(w.root, top), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // not made, or gone meanwhile
			}
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			name := w.plain(strings.TrimPrefix(path, w.root+"/"))
			switch {
			case info.IsDir():
				s.tree[name] = fmt.Sprintf("dir %04o", info.Mode().Perm())
			case info.Mode()&fs.ModeSymlink != 0:
				target, err := os.Readlink(path)
				if err != nil {
					return err
				}
				s.tree[name] = "link " + w.plain(target)
			default:
				s.tree[name] = fmt.Sprintf("file %04o", info.Mode().Perm())
			}
			if strings.HasPrefix(name, "etc/renewal/") && strings.HasSuffix(name, ".conf") {
				return w.readConf(s, path, filepath.Base(name))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readConf notes the keys of a renewal configuration. It shares nothing with the parser that is being tested.
func (w *world) readConf(s *sight, path, name string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	section := ""
	for line := range strings.Lines(w.plain(string(text))) {
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(line, "=")
		switch {
		case strings.HasPrefix(line, "#") || line == "":
		case strings.HasPrefix(line, "["):
			section = line
		case ok:
			s.conf[fmt.Sprintf("%s %s %s", name, section, strings.TrimSpace(key))] = strings.TrimSpace(value)
		default:
			return fmt.Errorf("%s has the line %q", path, line)
		}
	}
	return nil
}

// differences lists how s, which is certbot's, differs from another.
func (s sight) differences(o sight) []string {
	var list []string
	if s.exit != o.exit {
		list = append(list, fmt.Sprintf("exit %d, cairnbot %d", s.exit, o.exit))
	}
	for _, stream := range []struct{ name, theirs, ours string }{{"stdout", s.stdout, o.stdout}, {"stderr", s.stderr, o.stderr}} {
		for _, phrase := range phrases {
			pattern := regexp.MustCompile(`(?m)` + phrase)
			switch a, b := pattern.MatchString(stream.theirs), pattern.MatchString(stream.ours); {
			case a && !b:
				list = append(list, fmt.Sprintf("phrase on %s, certbot only: %s", stream.name, phrase))
			case b && !a:
				list = append(list, fmt.Sprintf("phrase on %s, cairnbot only: %s", stream.name, phrase))
			}
		}
	}
	list = append(list, compareMaps("tree", s.tree, o.tree)...)
	return append(list, compareMaps("conf", s.conf, o.conf)...)
}

func compareMaps(kind string, theirs, ours map[string]string) []string {
	var list []string
	keys := maps.Clone(theirs)
	maps.Copy(keys, ours)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		a, inA := theirs[key]
		b, inB := ours[key]
		switch {
		case !inB:
			list = append(list, fmt.Sprintf("%s, certbot only: %s = %s", kind, key, a))
		case !inA:
			list = append(list, fmt.Sprintf("%s, cairnbot only: %s = %s", kind, key, b))
		case a != b:
			list = append(list, fmt.Sprintf("%s: %s = %s, cairnbot %s", kind, key, a, b))
		}
	}
	return list
}
