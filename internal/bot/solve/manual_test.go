//go:build unix

package solve_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/hook"
	"github.com/cairn-ca/cairn/internal/bot/renew"
	"github.com/cairn-ca/cairn/internal/bot/solve"
)

// order makes the challenges of one order, all of one kind.
func order(kind acme.ChallengeType, names ...string) []renew.Challenge {
	list := make([]renew.Challenge, len(names))
	for i, name := range names {
		id, wildcard := acme.IdentifierFor(name).Base()
		token := "token" + strings.Repeat("x", i) + padding
		list[i] = renew.Challenge{Type: kind, Identifier: id, Wildcard: wildcard, Token: token, KeyAuthorization: token + ".thumbprint",
			Account: "https://ca.test/acct/1", Index: i}
	}
	for i := range list {
		for _, c := range list {
			list[i].All, list[i].AllWildcard = append(list[i].All, c.Identifier), append(list[i].AllWildcard, c.Wildcard)
		}
	}
	return list
}

func manual(t *testing.T, c solve.ManualConfig) *solve.Manual {
	t.Helper()
	c.Hooks = hook.NewRunner(hook.Config{Environment: []string{"PATH=" + os.Getenv("PATH"), "DIR=" + t.TempDir()}})
	m, err := solve.NewManual(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// all runs a whole order through a solver.
func all(t *testing.T, s renew.Solver, challenges []renew.Challenge) {
	t.Helper()
	for _, c := range challenges {
		if err := s.Present(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range challenges {
		if err := s.CleanUp(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
}

const tellAll = `echo "${CERTBOT_DOMAIN}=${CERTBOT_IDENTIFIER} ${CERTBOT_VALIDATION} ${CERTBOT_TOKEN-unset} ` +
	`${CERTBOT_ALL_DOMAINS}=${CERTBOT_ALL_IDENTIFIERS} ${CERTBOT_REMAINING_CHALLENGES} ${CERTBOT_AUTH_OUTPUT-unset}"`

func TestManualHooksGetCertbotsVariables(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	m := manual(t, solve.ManualConfig{AuthHook: tellAll + ` >>` + log + `; echo "  said $CERTBOT_DOMAIN  "`, CleanupHook: tellAll + ` >>` + log})
	all(t, m, order(acme.HTTP01, "a.test", "192.0.2.1"))
	all(t, m, order(acme.DNS01, "*.b.test"))
	got, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	one, two := "token"+padding, "tokenx"+padding
	value := acme.DNS01Value(one + ".thumbprint")
	want := "a.test=a.test " + one + ".thumbprint " + one + " a.test,192.0.2.1=a.test,192.0.2.1 1 unset\n" +
		"192.0.2.1=192.0.2.1 " + two + ".thumbprint " + two + " a.test,192.0.2.1=a.test,192.0.2.1 0 unset\n" +
		"a.test=a.test " + one + ".thumbprint " + one + " a.test,192.0.2.1=a.test,192.0.2.1 1 said a.test\n" +
		"192.0.2.1=192.0.2.1 " + two + ".thumbprint " + two + " a.test,192.0.2.1=a.test,192.0.2.1 0 said 192.0.2.1\n" +
		"b.test=b.test " + value + " unset b.test=b.test 0 unset\n" +
		"b.test=b.test " + value + " unset b.test=b.test 0 said b.test\n"
	if string(got) != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestAManualHookThatFails(t *testing.T) {
	var shown, logged strings.Builder
	c := solve.ManualConfig{AuthHook: "echo out; echo oops >&2; exit 3",
		Output: func(heading, text string) { shown.WriteString(heading + "\n" + text) },
		Log:    slog.New(slog.NewTextHandler(&logged, nil))}
	one := order(acme.HTTP01, "a.test")[0]
	if err := manual(t, c).Present(t.Context(), one); err != nil {
		t.Errorf("certbot goes on, and so do we: %v", err)
	}
	if want := "Hook '--manual-auth-hook' for a.test ran with output:\nout\n"; shown.String() != want {
		t.Errorf("showed %q", shown.String())
	}
	for _, want := range []string{"Hook '--manual-auth-hook' for a.test reported error code 3", "ran with error output:\\n oops"} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("the log lacks %q: %s", want, &logged)
		}
	}
	c.FailOnHookError = true
	cleaned := filepath.Join(t.TempDir(), "cleaned")
	c.CleanupHook = "echo $CERTBOT_DOMAIN $CERTBOT_AUTH_OUTPUT >>" + cleaned
	if err := manual(t, c).Present(t.Context(), one); err == nil || !strings.Contains(err.Error(), "--fail-on-hook-error") {
		t.Errorf("got %v", err)
	}
	if text, err := os.ReadFile(cleaned); err != nil || string(text) != "a.test out\n" {
		t.Errorf("what the hook has begun was not taken back: %q, %v", text, err)
	}
}

func TestManualTellsAPersonWhatToDo(t *testing.T) {
	var told []string
	confirmed := 0
	c := solve.ManualConfig{
		Tell:       func(text string) { told = append(told, text) },
		Confirm:    func(context.Context) error { confirmed++; return nil },
		Challenges: []acme.ChallengeType{acme.DNS01, acme.HTTP01, acme.TLSALPN01, acme.DNSAccount01, acme.DNSPersist01},
	}
	m := manual(t, c)
	value := acme.DNS01Value("token" + padding + ".thumbprint")
	for _, test := range []struct {
		kind  acme.ChallengeType
		names []string
		want  []string
		not   []string
	}{
		{acme.HTTP01, []string{"a.test"},
			[]string{"\n\ntoken" + padding + ".thumbprint\n\n", "\n\nhttp://a.test/.well-known/acme-challenge/token" + padding + "\n\n", "python3 -m http.server 80"},
			[]string{"in addition", "dig"}},
		{acme.HTTP01, []string{"2001:db8::1"}, []string{"http://[2001:db8::1]/.well-known"}, nil},
		{acme.DNS01, []string{"a.test", "*.a.test"},
			[]string{"\n\n_acme-challenge.a.test.\n\n", "\n\n" + value + "\n", "Challenge 2 of 2", "*.a.test", "in addition", "dig +short TXT _acme-challenge.a.test."}, nil},
		{acme.DNSAccount01, []string{"a.test"}, []string{"._acme-challenge.a.test.\n"}, nil},
		{acme.TLSALPN01, []string{"a.test"}, []string{"-----BEGIN CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----", "acme-tls/1"}, nil},
	} {
		told = nil
		all(t, m, order(test.kind, test.names...))
		text := strings.Join(told, "")
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s %v: the instructions lack %q:\n%s", test.kind, test.names, want, text)
			}
		}
		for _, not := range test.not {
			if strings.Contains(text, not) {
				t.Errorf("%s %v: the instructions have %q:\n%s", test.kind, test.names, not, text)
			}
		}
	}
	if confirmed != 6 {
		t.Errorf("waited %d times", confirmed)
	}
}

func TestManualPersistRecord(t *testing.T) {
	var told string
	m := manual(t, solve.ManualConfig{
		Tell: func(text string) { told = text }, Confirm: func(context.Context) error { return nil },
		Challenges: []acme.ChallengeType{acme.DNSPersist01},
	})
	c := renew.Challenge{Type: acme.DNSPersist01, Identifier: acme.IdentifierFor("a.test"), Wildcard: true, Account: "https://ca.test/acct/1", IssuerDomains: []string{"ca.test"}}
	all(t, m, []renew.Challenge{c})
	if want := "_validation-persist.a.test.\n\nwith this value:\n\nca.test; accounturi=https://ca.test/acct/1; policy=wildcard\n"; !strings.Contains(told, want) {
		t.Errorf("got\n%s", told)
	}
	c.IssuerDomains = nil
	if err := m.Present(t.Context(), c); err == nil {
		t.Error("a challenge without an issuer was answered")
	}
	c.IssuerDomains = []string{"ca.test; accounturi=https://evil.test/1;\x1b[2J"}
	if err := m.Present(t.Context(), c); err == nil {
		t.Error("an issuer that is no name made a record")
	}
}

func TestManualNeedsSomebody(t *testing.T) {
	if _, err := solve.NewManual(solve.ManualConfig{CleanupHook: "true"}); !errors.Is(err, solve.ErrNobody) {
		t.Errorf("got %v", err)
	}
	stop := errors.New("cancelled")
	m := manual(t, solve.ManualConfig{Tell: func(string) {}, Confirm: func(context.Context) error { return stop }})
	if err := m.Present(t.Context(), order(acme.HTTP01, "a.test")[0]); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	hooked := manual(t, solve.ManualConfig{AuthHook: "true"})
	bad := challenge("a.test", "../x")
	if err := hooked.Present(t.Context(), bad); err == nil {
		t.Error("a token that is no token reached a hook")
	}
}
