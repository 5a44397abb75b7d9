// Package program has a person's own programs make records: those for `--dns exec`, which can be ones
// written for lego's exec provider, and hooks written for certbot's manual plugin.
//
// A program for exec is called as
//
//	PROGRAM present NAME VALUE
//	PROGRAM cleanup NAME VALUE
//
// with a fully qualified NAME, as _acme-challenge.example.com. (with the final dot). It adds or removes this value and leaves
// others at the same name alone, answers with exit code 0, and with any other where it has failed: what it writes to its standard
// error is shown then. Adding what is there and removing what is not there succeed. The same, and more, is in its environment
// (CAIRNBOT_ACTION, CAIRNBOT_NAME, CAIRNBOT_VALUE, CAIRNBOT_ZONE, CAIRNBOT_TTL, CAIRNBOT_DOMAIN), and as one line of JSON in its standard input:
//
//	{"format":1,"action":"present","name":"_acme-challenge.example.com.","value":"…","zone":"example.com.","ttl":60,"domain":"example.com"}
//
// It may come to add several values at one name. With mode RAW, as lego has it, arguments are
// `present -- DOMAIN TOKEN KEY_AUTHORIZATION` instead.
//
// Nothing of a record is ever part of a command line that a shell reads: it is in the environment, and
// a shell expands that once, in quotation marks. One program runs at a time.
package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/rest"
	"github.com/cairn-ca/cairn/internal/bot/dns/txt"
	"github.com/cairn-ca/cairn/internal/bot/hook"
)

// limit is how long a program may take when nobody says.
const limit = 10 * time.Minute

// Config says what is run.
type Config struct {
	Program string
	Mode    string // "" or RAW
	// Variables ("NAME=value") are the program's beside Environ, which is the environment of this process if it is nil.
	Variables []string
	Environ   []string
	Timeout   time.Duration // 0 means ten minutes
	Log       *slog.Logger  // nil discards
}

// Provider runs a program for each change.
type Provider struct {
	config Config
	runner *hook.Runner
	mu     sync.Mutex // one at a time: such programs read, change and write
}

// New looks for the program, and does not run it.
func New(config Config) (*Provider, error) {
	if config.Program == "" {
		return nil, errors.New("exec: there is no program: give its path (program, or EXEC_PATH)")
	}
	path, err := exec.LookPath(config.Program)
	if err != nil {
		return nil, fmt.Errorf("exec: the program cannot be run: %w: check its path, and make it executable (chmod +x)", err)
	}
	config.Program = path
	if config.Mode != "" && config.Mode != "RAW" {
		return nil, fmt.Errorf("exec: the mode is %.20q: it is RAW, or left out", config.Mode)
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	return &Provider{config: config, runner: runner(config.Environ, config.Timeout)}, nil
}

// runner runs with an environment, or else with that of this process.
func runner(environ []string, timeout time.Duration) *hook.Runner {
	if environ == nil {
		environ = new(exec.Cmd).Environ()
	}
	if timeout <= 0 {
		timeout = limit
	}
	return hook.NewRunner(hook.Config{Environment: environ, Timeout: timeout, LimitedBy: "its setting timeout"})
}

// Add runs the program with "present".
func (p *Provider) Add(ctx context.Context, r dns.Record) error { return p.run(ctx, "present", r) }

// Remove runs the program with "cleanup".
func (p *Provider) Remove(ctx context.Context, r dns.Record) error { return p.run(ctx, "cleanup", r) }

// The commands, with nothing in them that varies.
const (
	usual = `printf '%s\n' "$CAIRNBOT_REQUEST" | "$CAIRNBOT_PROGRAM" "$CAIRNBOT_ACTION" "$CAIRNBOT_NAME" "$CAIRNBOT_VALUE"`
	raw   = `printf '%s\n' "$CAIRNBOT_REQUEST" | "$CAIRNBOT_PROGRAM" "$CAIRNBOT_ACTION" -- "$CAIRNBOT_DOMAIN" "$CAIRNBOT_TOKEN" "$CAIRNBOT_KEY_AUTHORIZATION"`
)

func (p *Provider) run(ctx context.Context, action string, r dns.Record) error {
	if err := txt.Check(r); err != nil {
		return err
	}
	ttl := int(r.TTL / time.Second)
	request, err := json.Marshal(struct {
		Format int    `json:"format"`
		Action string `json:"action"`
		Name   string `json:"name"`
		Value  string `json:"value"`
		Zone   string `json:"zone"`
		TTL    int    `json:"ttl"`
		Domain string `json:"domain"`
	}{1, action, r.Name, r.Value, r.Zone, ttl, r.Domain})
	if err != nil {
		return err
	}
	command := usual
	variables := append([]string{}, p.config.Variables...)
	variables = append(variables, "CAIRNBOT_PROGRAM="+p.config.Program, "CAIRNBOT_REQUEST="+string(request), "CAIRNBOT_ACTION="+action,
		"CAIRNBOT_NAME="+r.Name, "CAIRNBOT_VALUE="+r.Value, "CAIRNBOT_ZONE="+r.Zone, "CAIRNBOT_TTL="+strconv.Itoa(ttl), "CAIRNBOT_DOMAIN="+r.Domain)
	if p.config.Mode == "RAW" {
		token, _, ok := strings.Cut(r.KeyAuthorization, ".") // RFC 8555 §8.1
		if !ok {
			return errors.New("exec: in RAW mode, only digests of key authorizations can be made, and this record is none: leave the mode out")
		}
		command = raw
		variables = append(variables, "CAIRNBOT_TOKEN="+token, "CAIRNBOT_KEY_AUTHORIZATION="+r.KeyAuthorization)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	result := p.runner.Run(ctx, command, variables...)
	return report(p.config.Log, p.config.Program+" "+action, result)
}

// report tells what a program said, and makes an error of its failure.
func report(log *slog.Logger, what string, result hook.Result) error {
	log.Debug("a program for a DNS record has ended", "program", what, "code", result.Code)
	if result.Err == nil {
		return nil
	}
	said := rest.Plain(tail(result.Stderr))
	if said == "" {
		said = rest.Plain(tail(result.Stdout))
	}
	if said != "" {
		said = ": it says: " + said
	}
	return fmt.Errorf("%s: %w%s", what, result.Err, said)
}

// tail is the end of what a program said, where reasons are.
func tail(text string) string {
	text = strings.TrimSpace(text)
	return text[max(0, len(text)-280):]
}

// Entry is the row of the registry for exec.
func Entry() dns.Entry {
	return dns.Entry{
		Name: "exec", Title: "a program of your own",
		Keys: []dns.Key{
			{Name: "program", Variable: "EXEC_PATH", Help: "its path", Needed: true},
			{Name: "mode", Variable: "EXEC_MODE", Help: "RAW gives it domain, token and key authorization, as lego can"},
			{Name: "timeout", Help: "how many seconds it may take; 600 when it is left out"},
		},
		Free: true, Propagation: 2 * time.Minute, AnyValue: true,
		Docs: "https://github.com/cairn-ca/cairn/blob/main/docs/dns-programs.md#--dns-exec",
		New: func(s dns.Settings) (dns.Provider, error) {
			timeout, err := seconds(s.Values["timeout"])
			if err != nil {
				return nil, fmt.Errorf("exec: %w", err)
			}
			return New(Config{Program: s.Values["program"], Mode: s.Values["mode"], Variables: Variables(s, "program", "mode", "timeout"),
				Environ: s.Environ, Timeout: timeout, Log: s.Log})
		},
	}
}

// Variables are the settings that are none of the provider's own: they are for the program, as variables.
func Variables(s dns.Settings, own ...string) []string {
	var list []string
	for name, value := range s.Values {
		mine := false
		for _, key := range own {
			mine = mine || key == name
		}
		if !mine {
			list = append(list, name+"="+value)
		}
	}
	return list
}

func seconds(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil || number == 0 {
		return 0, fmt.Errorf("the timeout is %.20q: write a number of seconds", text)
	}
	return time.Duration(number) * time.Second, nil
}
