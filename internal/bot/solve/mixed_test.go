//go:build unix

package solve_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
	"github.com/cairn-ca/cairn/internal/bot/solve"
)

// recorder is a solver that writes down what it was asked.
type recorder struct {
	name  string
	kinds []acme.ChallengeType
	seen  []string
}

func (r *recorder) Types(acme.Identifier, bool) []acme.ChallengeType { return r.kinds }
func (r *recorder) Present(_ context.Context, c renew.Challenge) error {
	r.seen = append(r.seen, fmt.Sprintf("+%s %v %d/%d", c.Identifier, c.Wildcard, c.Index, len(c.All)))
	return nil
}
func (r *recorder) CleanUp(_ context.Context, c renew.Challenge) error {
	r.seen = append(r.seen, "-"+c.Identifier.Value)
	return nil
}

// waiting is a recorder whose proofs take a while.
type waiting struct{ recorder }

func (w *waiting) Wait(_ context.Context, challenges []renew.Challenge) error {
	w.seen = append(w.seen, fmt.Sprintf("wait %d", len(challenges)))
	return nil
}

func TestMixedPicksASolverForEachName(t *testing.T) {
	web := &recorder{name: "web", kinds: []acme.ChallengeType{acme.HTTP01}}
	one, two := &waiting{recorder{kinds: []acme.ChallengeType{acme.DNS01}}}, &waiting{recorder{kinds: []acme.ChallengeType{acme.DNSAccount01}}}
	m := solve.NewMixed(solve.MixedConfig{Default: web, Rules: []solve.Rule{
		{Names: "*", Solver: one}, {Names: ".two.test", Solver: two}, {Names: "www.two.test", Solver: web}, {Names: "*.x.two.test", Solver: one},
	}})
	for name, want := range map[string]acme.ChallengeType{
		"a.test": acme.HTTP01, "*.a.test": acme.DNS01, "two.test": acme.DNSAccount01, "*.two.test": acme.DNSAccount01,
		"b.two.test": acme.DNSAccount01, "www.two.test": acme.HTTP01, "*.www.two.test": acme.DNSAccount01,
		"*.x.two.test": acme.DNS01, "x.two.test": acme.DNSAccount01, "nottwo.test": acme.HTTP01, "192.0.2.1": acme.HTTP01,
	} {
		id, wildcard := acme.IdentifierFor(name).Base()
		if got := m.Types(id, wildcard); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
	}
	challenges := order(acme.HTTP01, "a.test", "*.a.test", "two.test", "b.two.test", "c.test")
	for _, c := range challenges {
		if err := m.Present(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Wait(t.Context(), challenges); err != nil {
		t.Fatal(err)
	}
	for _, c := range challenges {
		if err := m.CleanUp(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name      string
		got, want []string
	}{
		{"web", web.seen, []string{"+a.test false 0/2", "+c.test false 1/2", "-a.test", "-c.test"}},
		{"one", one.seen, []string{"+a.test true 0/1", "wait 1", "-a.test"}},
		{"two", two.seen, []string{"+two.test false 0/2", "+b.two.test false 1/2", "wait 2", "-two.test", "-b.two.test"}},
	} {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("%s was asked %q, want %q", test.name, test.got, test.want)
		}
	}
	none := solve.NewMixed(solve.MixedConfig{Rules: []solve.Rule{{Names: "a.test", Solver: web}}})
	if err := none.Present(t.Context(), challenge("b.test", "one"+padding)); err == nil {
		t.Error("a name without a method was proven")
	}
}

func TestParseRule(t *testing.T) {
	for text, want := range map[string][2]string{
		"Example.com=standalone": {"example.com", "standalone"}, ".example.com = dns-cloudflare:prod": {".example.com", "dns-cloudflare:prod"},
		"*=manual": {"*", "manual"}, "*.a_b.test=dns": {"*.a_b.test", "dns"}, "2001:DB8::1=standalone": {"2001:db8::1", "standalone"},
	} {
		names, method, err := solve.ParseRule(text)
		if err != nil || names != want[0] || method != want[1] {
			t.Errorf("%s: %q %q %v", text, names, method, err)
		}
	}
	for _, text := range []string{"", "a.test", "=x", "a.test=", "a..test=x", "..a.test=x", "*.*.a=x", "a b=x"} {
		if names, method, err := solve.ParseRule(text); err == nil {
			t.Errorf("%q: %q %q", text, names, method)
		}
	}
}

func FuzzParseRule(f *testing.F) {
	for _, text := range []string{"a.test=standalone", ".a.test=dns-x:y", "*=manual", "2001:db8::1=webroot", "=", "*.="} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		names, method, err := solve.ParseRule(text)
		if err != nil {
			return
		}
		if again, same, err := solve.ParseRule(names + "=" + method); err != nil || again != names || same != method {
			t.Errorf("%q is %q and %q, which is %q and %q, %v", text, names, method, again, same, err)
		}
	})
}

func TestPausedWaitsForAPerson(t *testing.T) {
	inner := &waiting{recorder{kinds: []acme.ChallengeType{acme.HTTP01}}}
	var shown string
	stop := errors.New("no")
	pause := func(_ context.Context, text string) error { shown = text; return stop }
	p := solve.NewPaused(solve.PausedConfig{Solver: inner, Details: true, Pause: pause})
	challenges := append(order(acme.HTTP01, "a.test"), order(acme.DNS01, "b.test")...)
	if err := p.Wait(t.Context(), challenges); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	want := "The challenges are set up, and the CA has not been told to look yet.\n" +
		"\nURL: http://a.test/.well-known/acme-challenge/token" + padding + "\nExpected value: token" + padding + ".thumbprint\n" +
		"\nFQDN: _acme-challenge.b.test.\nExpected value: " + acme.DNS01Value("token"+padding+".thumbprint") + "\n"
	if shown != want || !reflect.DeepEqual(inner.seen, []string{"wait 2"}) {
		t.Errorf("showed\n%safter %v", shown, inner.seen)
	}
}

func TestParseChallenges(t *testing.T) {
	got, err := solve.ParseChallenges([]string{"dns", "HTTP-01", " tls-alpn-01", "dns-01", "dns-persist", "dns-account-01"})
	want := []acme.ChallengeType{acme.DNS01, acme.HTTP01, acme.TLSALPN01, acme.DNSPersist01, acme.DNSAccount01}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := solve.ParseChallenges([]string{"smtp"}); err == nil {
		t.Error("smtp is a challenge")
	}
}
