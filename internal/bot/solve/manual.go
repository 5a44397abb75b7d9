package solve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/hook"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// ManualConfig says who gives the proofs: a script, or a person.
type ManualConfig struct {
	AuthHook    string // a command that makes a proof visible; "" asks the person
	CleanupHook string // a command that takes it back; "" does nothing
	// FailOnHookError makes a failing AuthHook fail the order before the CA looks. certbot goes on.
	FailOnHookError bool
	// Challenges are the kinds of challenge to answer, the preferred one first; nil is http-01, then dns-01.
	Challenges []acme.ChallengeType
	Hooks      *hook.Runner // nil makes one
	// Tell shows the person what has to be done, and Confirm waits until it is. They are required without an AuthHook.
	Tell    func(text string)
	Confirm func(ctx context.Context) error
	// Output shows what a hook said, under the heading that names it; nil shows nothing.
	Output func(heading, text string)
	Log    *slog.Logger
}

// Manual answers challenges through an operator's script or a person.
type Manual struct {
	config ManualConfig
	done   map[string][]string // by challenge: the variables for the clean-up hook
}

// ErrNobody says that there is neither a hook nor a person.
var ErrNobody = errors.New("the manual method has no --manual-auth-hook, and there is nobody to ask")

// manualTypes is what can be done by hand; without a preference only the first two are, as in certbot.
var manualTypes = []acme.ChallengeType{acme.HTTP01, acme.DNS01, acme.DNSAccount01, acme.DNSPersist01, acme.TLSALPN01}

// NewManual checks c.
func NewManual(c ManualConfig) (*Manual, error) {
	if c.AuthHook == "" && (c.Confirm == nil || c.Tell == nil) {
		return nil, ErrNobody
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Output == nil {
		c.Output = func(string, string) {}
	}
	if c.Hooks == nil {
		c.Hooks = hook.NewRunner(hook.Config{})
	}
	supported := manualTypes
	if len(c.Challenges) == 0 {
		supported = manualTypes[:2]
	}
	var err error
	if c.Challenges, err = Preferred("manual", supported, c.Challenges); err != nil {
		return nil, err
	}
	return &Manual{config: c, done: make(map[string][]string)}, nil
}

// Types is what the configuration says.
func (m *Manual) Types(acme.Identifier, bool) []acme.ChallengeType { return m.config.Challenges }

// Present runs the hook, or tells the person what to do and waits until it is done.
func (m *Manual) Present(ctx context.Context, c renew.Challenge) error {
	if c.Type != acme.DNSPersist01 {
		if err := checkToken(c); err != nil {
			return err
		}
	}
	task, err := newTask(c)
	if err != nil {
		return err
	}
	variables := task.variables()
	if m.config.AuthHook == "" {
		m.config.Tell(task.instructions())
		if err := m.config.Confirm(ctx); err != nil {
			return err
		}
	} else {
		result := m.run(ctx, "--manual-auth-hook", m.config.AuthHook, c, variables)
		m.done[keyOf(c)] = append(variables, "CERTBOT_AUTH_OUTPUT="+strings.TrimSpace(strings.ReplaceAll(result.Stdout, "\x00", "")))
		if result.Err != nil && m.config.FailOnHookError {
			err := fmt.Errorf("the --manual-auth-hook for %s failed (--fail-on-hook-error): %w", c.Identifier, result.Err)
			return errors.Join(err, m.CleanUp(ctx, c)) // it may have come half way
		}
		return nil
	}
	m.done[keyOf(c)] = variables
	return nil
}

// CleanUp runs the clean-up hook.
func (m *Manual) CleanUp(ctx context.Context, c renew.Challenge) error {
	variables := m.done[keyOf(c)]
	delete(m.done, keyOf(c))
	if m.config.CleanupHook == "" {
		return nil
	}
	if result := m.run(ctx, "--manual-cleanup-hook", m.config.CleanupHook, c, variables); result.Err != nil {
		return fmt.Errorf("the --manual-cleanup-hook: %w", result.Err)
	}
	return nil
}

// run runs a hook, and shows what it said.
func (m *Manual) run(ctx context.Context, name, command string, c renew.Challenge, variables []string) hook.Result {
	m.config.Log.Info("running a hook", "hook", name, "command", command, "identifier", c.Identifier.Value)
	result := m.config.Hooks.Run(ctx, command, variables...)
	title := fmt.Sprintf("Hook '%s' for %s", name, c.Identifier)
	if result.Stdout != "" {
		m.config.Output(title+" ran with output:", result.Stdout)
	}
	switch {
	case result.Code > 0:
		m.config.Log.Warn(fmt.Sprintf("%s reported error code %d", title, result.Code))
	case result.Err != nil:
		m.config.Log.Warn(title+" could not be run to its end", "error", result.Err)
	}
	if result.Stderr != "" {
		m.config.Log.Warn(title + " ran with error output:\n" + hook.Indent(result.Stderr))
	}
	return result
}

// task is a challenge in the terms of who answers it by hand.
type task struct {
	renew.Challenge
	validation  string // what has to be visible
	record      string // the name of the record in the DNS, with its final dot; "" for what is not there
	certificate string // tls-alpn-01: the certificate to show and its key, in PEM
}

// newTask works out what has to be visible.
func newTask(c renew.Challenge) (*task, error) {
	t := &task{Challenge: c, validation: c.KeyAuthorization}
	switch c.Type {
	case acme.HTTP01:
	case acme.DNS01:
		t.validation, t.record = acme.DNS01Value(c.KeyAuthorization), acme.DNS01Name(c.Identifier.Value)+"."
	case acme.DNSAccount01:
		t.validation, t.record = acme.DNS01Value(c.KeyAuthorization), acme.DNSAccount01Name(c.Account, c.Identifier.Value)+"."
	case acme.DNSPersist01:
		if len(c.IssuerDomains) == 0 {
			return nil, fmt.Errorf("the CA's dns-persist-01 challenge for %s names no issuer domain", c.Identifier)
		}
		account := c.Account
		if c.AccountHashPrefix != "" {
			account = acme.HashedAccountURI(c.AccountHashPrefix, c.Identifier.Value, c.Thumbprint, c.Account)
		}
		record := acme.PersistRecord{Issuer: c.IssuerDomains[0], AccountURI: account, Wildcard: c.Wildcard}
		if _, err := acme.ParsePersistRecord(record.String()); err != nil {
			return nil, fmt.Errorf("what the CA's dns-persist-01 challenge for %s says makes no record: %w", c.Identifier, err)
		}
		t.validation, t.record = record.String(), acme.DNSPersist01Name(c.Identifier.Value)+"."
	case acme.TLSALPN01:
		var err error
		if t.certificate, err = alpnPEM(c); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("a %s challenge cannot be answered by hand", c.Type)
	}
	return t, nil
}

// variables are what certbot gives its hooks, and under the name CAIRNBOT what it does not have.
func (t *task) variables() []string {
	all := make([]string, len(t.All))
	for i, id := range t.All {
		all[i] = id.Value
	}
	names := strings.Join(all, ",")
	list := []string{
		"CERTBOT_DOMAIN=" + t.Identifier.Value, "CERTBOT_IDENTIFIER=" + t.Identifier.Value,
		"CERTBOT_VALIDATION=" + t.validation,
		"CERTBOT_ALL_DOMAINS=" + names, "CERTBOT_ALL_IDENTIFIERS=" + names,
		"CERTBOT_REMAINING_CHALLENGES=" + strconv.Itoa(len(t.All)-t.Index-1),
		"CAIRNBOT_CHALLENGE=" + string(t.Type),
	}
	if t.Type == acme.HTTP01 {
		list = append(list, "CERTBOT_TOKEN="+t.Token)
	}
	if t.record != "" {
		list = append(list, "CAIRNBOT_RECORD="+t.record)
	}
	if t.certificate != "" {
		list = append(list, "CAIRNBOT_ALPN_PEM="+t.certificate)
	}
	return list
}
