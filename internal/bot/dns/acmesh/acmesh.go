// Package acmesh has scripts make records that were written for acme.sh (its directory dnsapi). The scripts are the operator's,
// as acme.sh installs them; the functions that they call are ours (helpers.sh), and need curl and openssl.
//
// A script is trusted with everything that the operator may do, as it is when acme.sh runs it. The names and values that it
// gets have been checked (txt.Check), and come in its environment and its arguments. It
// gets credentials from the settings of the provider, from the environment, and from acme.sh's account.conf, which is only read.
// What it saves is kept until cairnbot ends: credentials that were given once are to be in a file for the next time.
package acmesh

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/rest"
	"github.com/cairn-ca/cairn/internal/bot/dns/txt"
	"github.com/cairn-ca/cairn/internal/bot/hook"
)

//go:embed helpers.sh
var helpers []byte

//go:embed run.sh
var run []byte

// Config says which script, and where it is.
type Config struct {
	Script string // dns_NAME, or the path of a file dns_NAME.sh
	// Directory has the scripts; "" looks where acme.sh installs them, below Home too.
	Directory string
	// Account is acme.sh's account.conf; "" means that under Home.
	Account   string
	Home      string        // acme.sh's home, or ""
	Variables []string      // "NAME=value": credentials, as scripts call them
	Environ   []string      // what the script gets besides; nil means the environment of this process
	Timeout   time.Duration // 0 means ten minutes: scripts sleep
	Log       *slog.Logger  // nil discards
}

// Provider runs the script for each change, one at a time.
type Provider struct {
	config   Config
	path     string // of the script
	function string // without _add
	shell    string
	runner   *hook.Runner

	mu    sync.Mutex
	saved map[string][]byte // what the script keeps, by file name
}

var scriptForm = regexp.MustCompile(`^dns_[A-Za-z0-9_]+$`)

// savedFiles are those that scripts keep settings in, until the end.
var savedFiles = []string{"account.conf", "domain.conf"}

// New finds the script and the programs that it needs. It runs nothing.
func New(config Config) (*Provider, error) {
	path, err := find(config)
	if err != nil {
		return nil, err
	}
	for _, program := range []string{"curl", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("acme.sh's scripts need %s: install it (apt-get install %s)", program, program)
		}
	}
	shell, err := shellFor(path)
	if err != nil {
		return nil, err
	}
	if config.Timeout <= 0 {
		config.Timeout = 10 * time.Minute
	}
	if config.Environ == nil {
		config.Environ = new(exec.Cmd).Environ()
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Account == "" && config.Home != "" {
		config.Account = filepath.Join(config.Home, "account.conf")
	}
	return &Provider{
		config: config, path: path, function: strings.TrimSuffix(filepath.Base(path), ".sh"), shell: shell, saved: make(map[string][]byte),
		runner: hook.NewRunner(hook.Config{Environment: config.Environ, Timeout: config.Timeout, LimitedBy: "its setting timeout"}),
	}, nil
}

// find finds the file of the script.
func find(config Config) (string, error) {
	name := strings.TrimSuffix(filepath.Base(config.Script), ".sh")
	if !scriptForm.MatchString(name) {
		return "", fmt.Errorf("%.60q is not the name of a script for acme.sh: one looks like dns_cf", config.Script)
	}
	var places []string
	switch {
	case strings.Contains(config.Script, "/"):
		places = []string{config.Script}
	case config.Directory != "":
		places = []string{filepath.Join(config.Directory, name+".sh")}
	default:
		for _, directory := range []string{config.Home, "/usr/share/acme.sh", "/usr/local/share/acme.sh", "/opt/acme.sh"} {
			if directory != "" {
				places = append(places, filepath.Join(directory, "dnsapi", name+".sh"), filepath.Join(directory, name+".sh"))
			}
		}
	}
	for _, place := range places {
		if info, err := os.Stat(place); err == nil && info.Mode().IsRegular() {
			return filepath.Abs(place)
		}
	}
	return "", fmt.Errorf("there is no script %s.sh (looked for %s): give the directory that has it, such as the dnsapi of acme.sh", name, strings.Join(places, ", "))
}

// shellFor is what the first line of the script asks for: bash, or the shell that every system has.
func shellFor(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the script: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	if strings.HasPrefix(first, "#!") && strings.Contains(first, "bash") {
		if bash, err := exec.LookPath("bash"); err == nil {
			return bash, nil
		}
	}
	return "/bin/sh", nil
}

// Add runs the script's function NAME_add.
func (p *Provider) Add(ctx context.Context, r dns.Record) error { return p.run(ctx, "_add", r) }

// Remove runs the script's function NAME_rm.
func (p *Provider) Remove(ctx context.Context, r dns.Record) error { return p.run(ctx, "_rm", r) }

func (p *Provider) run(ctx context.Context, what string, r dns.Record) error {
	if err := txt.Check(r); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	directory, err := p.prepare()
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	variables := append(append([]string{}, p.config.Variables...), "CAIRNBOT_DIR="+directory, "CAIRNBOT_ACCOUNT_CONF="+p.config.Account, "CAIRNBOT_SHELL="+p.shell,
		"CAIRNBOT_SCRIPT="+p.path, "CAIRNBOT_FUNCTION="+p.function+what, "CAIRNBOT_NAME="+strings.TrimSuffix(r.Name, "."), "CAIRNBOT_VALUE="+r.Value)
	result := p.runner.Run(ctx, `exec "$CAIRNBOT_SHELL" "$CAIRNBOT_DIR/run.sh"`, variables...)
	err = p.keep(directory)
	if result.Err != nil {
		said := strings.TrimSpace(result.Stderr)
		said = rest.Plain(said[max(0, len(said)-280):])
		return errors.Join(fmt.Errorf("%s of %s: %w: it says: %s", p.function+what, p.path, result.Err, said), err)
	}
	p.config.Log.Debug("a script for a DNS record has ended", "script", p.path, "function", p.function+what)
	return err
}

// prepare makes a directory that nobody else can look into, with the functions and what was saved.
func (p *Provider) prepare() (string, error) {
	directory, err := os.MkdirTemp("", "cairnbot-acmesh-")
	if err != nil {
		return "", fmt.Errorf("making a directory for a script: %w", err)
	}
	files := map[string][]byte{"helpers.sh": helpers, "run.sh": run}
	for _, name := range savedFiles {
		files[name] = p.saved[name]
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(directory, name), text, 0o600); err != nil {
			return "", errors.Join(err, os.RemoveAll(directory))
		}
	}
	return directory, nil
}

// keep remembers what the script saved, for its next run.
func (p *Provider) keep(directory string) error {
	for _, name := range savedFiles {
		text, err := os.ReadFile(filepath.Join(directory, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading what a script saved: %w", err)
		}
		p.saved[name] = text[:min(len(text), 1<<20)]
	}
	return nil
}
