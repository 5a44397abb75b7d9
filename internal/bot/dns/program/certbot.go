package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/txt"
	"github.com/cairn-ca/cairn/internal/bot/hook"
)

// HookConfig has commands that were written for certbot's --manual-auth-hook and --manual-cleanup-hook.
type HookConfig struct {
	Auth      string // a command for the shell, as certbot takes it
	Cleanup   string // "" removes nothing
	Variables []string
	Environ   []string      // nil means the environment of this process
	Timeout   time.Duration // 0 means ten minutes
	Log       *slog.Logger  // nil discards
}

// Hook runs them, with the variables that certbot gives to them.
type Hook struct {
	config HookConfig
	runner *hook.Runner

	mu     sync.Mutex        // one at a time
	output map[string]string // of the auth hook, by name and value; guarded by mu
}

// NewHook checks the settings.
func NewHook(config HookConfig) (*Hook, error) {
	if strings.TrimSpace(config.Auth) == "" {
		return nil, errors.New("hook: there is no auth_hook: give the command that you have for --manual-auth-hook")
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	return &Hook{config: config, runner: runner(config.Environ, config.Timeout), output: make(map[string]string)}, nil
}

// Add runs the auth hook.
func (h *Hook) Add(ctx context.Context, r dns.Record) error {
	variables, err := h.variables(r)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	result := h.runner.Run(ctx, h.config.Auth, variables...)
	h.output[r.Name+" "+r.Value] = strings.TrimSpace(result.Stdout)
	return report(h.config.Log, "the auth hook", result)
}

// Remove runs the clean-up hook, with what the auth hook said if it was this process that ran it.
func (h *Hook) Remove(ctx context.Context, r dns.Record) error {
	if h.config.Cleanup == "" {
		return nil
	}
	variables, err := h.variables(r)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	key := r.Name + " " + r.Value
	result := h.runner.Run(ctx, h.config.Cleanup, append(variables, "CERTBOT_AUTH_OUTPUT="+strings.ReplaceAll(h.output[key], "\x00", ""))...)
	delete(h.output, key)
	return report(h.config.Log, "the clean-up hook", result)
}

// variables are those that certbot gives to its hooks. Hooks put _acme-challenge. in front of the domain; with an
// alias, it has to be the one that leads to the alias.
func (h *Hook) variables(r dns.Record) ([]string, error) {
	if err := txt.Check(r); err != nil {
		return nil, err
	}
	domain, ok := strings.CutPrefix(strings.TrimSuffix(r.Name, "."), "_acme-challenge.")
	if !ok {
		return nil, fmt.Errorf("hook: a hook of certbot's makes records at _acme-challenge.DOMAIN, and this one is to be at %s: give the alias a name that begins so, or use --dns exec", r.Name)
	}
	return append(append([]string{}, h.config.Variables...),
		"CERTBOT_DOMAIN="+domain, "CERTBOT_IDENTIFIER="+domain, "CERTBOT_VALIDATION="+r.Value,
		"CERTBOT_ALL_DOMAINS="+domain, "CERTBOT_ALL_IDENTIFIERS="+domain, "CERTBOT_REMAINING_CHALLENGES=0"), nil
}

// HookEntry is the row of the registry for hooks of certbot's.
func HookEntry() dns.Entry {
	return dns.Entry{
		Name: "hook", Title: "hooks written for certbot",
		Keys: []dns.Key{
			{Name: "auth_hook", Help: "the command that makes the record, as for --manual-auth-hook", Needed: true},
			{Name: "cleanup_hook", Help: "the command that removes it, as for --manual-cleanup-hook"},
			{Name: "timeout", Help: "how many seconds each may take; 600 when it is left out"},
		},
		Free: true, Plain: true, Propagation: 2 * time.Minute, AnyValue: true,
		Docs: "https://github.com/cairn-ca/cairn/blob/main/docs/dns-programs.md#--dns-hook",
		New: func(s dns.Settings) (dns.Provider, error) {
			timeout, err := seconds(s.Values["timeout"])
			if err != nil {
				return nil, fmt.Errorf("hook: %w", err)
			}
			return NewHook(HookConfig{Auth: s.Values["auth_hook"], Cleanup: s.Values["cleanup_hook"],
				Variables: Variables(s, "auth_hook", "cleanup_hook", "timeout"), Environ: s.Environ, Timeout: timeout, Log: s.Log})
		},
	}
}
