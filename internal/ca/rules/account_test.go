package rules_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

func TestContacts(t *testing.T) {
	cases := []struct {
		name    string
		contact []string
		want    acme.ProblemType
	}{
		{"none", nil, ""},
		{"one", []string{"mailto:admin@example.org"}, ""},
		{"upper-case scheme", []string{"MAILTO:admin@example.org"}, ""},
		{"A07 telephone", []string{"tel:+123"}, acme.TypeUnsupportedContact},
		{"A07 not an address", []string{"mailto:admin"}, acme.TypeInvalidContact},
		{"A07 no scheme", []string{"admin@example.org"}, acme.TypeInvalidContact},
		{"A08 header fields", []string{"mailto:a@example.org?subject=x"}, acme.TypeInvalidContact},
		{"A08 two addresses", []string{"mailto:a@example.org,b@example.org"}, acme.TypeInvalidContact},
		{"with a name", []string{"mailto:A <a@example.org>"}, acme.TypeInvalidContact},
		{"line break", []string{"mailto:a@example.org\nBcc: b@example.org"}, acme.TypeInvalidContact},
		{"long", []string{"mailto:" + strings.Repeat("a", 400) + "@example.org"}, acme.TypeInvalidContact},
		{"many", strings.Split(strings.Repeat("mailto:a@example.org ", 11), " "), acme.TypeInvalidContact},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, problem := rules.NewAccount(policy(t), jwk(t, newKey(t)), acme.NewAccount{Contact: c.contact}, start)
			if got := typeOf(problem); got != c.want {
				t.Errorf("got %v, want %s", problem, c.want)
			}
		})
	}
}

func typeOf(p *acme.Problem) acme.ProblemType {
	if p == nil {
		return ""
	}
	return p.Type
}

func TestA06TermsMustBeAgreedTo(t *testing.T) {
	p := policy(t)
	p.TermsOfService = "https://example.org/terms"
	if _, problem := rules.NewAccount(p, jwk(t, newKey(t)), acme.NewAccount{}, start); problem == nil || !strings.Contains(problem.Detail, p.TermsOfService) {
		t.Errorf("without agreement: %v", problem)
	}
	a, problem := rules.NewAccount(p, jwk(t, newKey(t)), acme.NewAccount{TermsOfServiceAgreed: true}, start)
	if problem != nil || a.TermsAgreed != p.TermsOfService {
		t.Errorf("with agreement: %v, %q", problem, a.TermsAgreed)
	}
}

func TestAccountUpdates(t *testing.T) {
	a := account(t)
	a.Contact = []string{"mailto:a@example.org"}
	same, _ := a.Update(acme.Account{Status: acme.StatusRevoked, TermsOfServiceAgreed: true, Orders: "x"})
	if same.Status != acme.StatusValid || len(same.Contact) != 1 {
		t.Errorf("A09: an update that sets nothing that it may set gives %+v", same)
	}
	if cleared, _ := a.Update(acme.Account{Contact: []string{}}); len(cleared.Contact) != 0 {
		t.Errorf("A10: an empty list leaves %v", cleared.Contact)
	}
	if _, problem := a.Update(acme.Account{Contact: []string{"tel:1"}}); typeOf(problem) != acme.TypeUnsupportedContact {
		t.Errorf("A10: a bad contact gives %v", problem)
	}
	ended, _ := a.Update(acme.Account{Status: acme.StatusDeactivated})
	if ended.Status != acme.StatusDeactivated || ended.Active() == nil || ended.Active().Status != 401 {
		t.Errorf("A12, A13: after deactivation %s, %v", ended.Status, ended.Active())
	}
}

func TestKeyChangeRules(t *testing.T) {
	const url = "https://ca.test/account/1"
	a := account(t)
	next := jwk(t, newKey(t))
	encode := func(k *acme.Key) json.RawMessage {
		text, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	changed, problem := a.ChangeKey(url, acme.KeyChange{Account: url, OldKey: encode(a.Key)}, next)
	if problem != nil || !changed.Key.Equal(next) {
		t.Errorf("K04: %v", problem)
	}
	for name, req := range map[string]acme.KeyChange{
		"K01 other account": {Account: url + "2", OldKey: encode(a.Key)},
		"K01 other old key": {Account: url, OldKey: encode(next)},
		"K01 no old key":    {Account: url},
	} {
		if _, problem := a.ChangeKey(url, req, next); problem == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestZ02AndV13Authorizations(t *testing.T) {
	_, authzs, a := order(t, "a.test")
	pending := authzs[0]
	attempted, problem := pending.Attempt(rules.Answer{Type: acme.HTTP01, Key: a.Key}, rules.Lease{}.Taken("w", start, time.Minute), start)
	if problem != nil {
		t.Fatal(problem)
	}
	want := attempted.Challenges[0].Token + "." + a.Key.Thumbprint()
	if got := attempted.Challenges[0].KeyAuthorization; got != want {
		t.Errorf("V13: key authorization %q, want %q", got, want)
	}
	if pending.Challenges[0].Status != acme.StatusPending {
		t.Error("an event changed the value that it was given")
	}
	again, problem := attempted.Attempt(rules.Answer{Type: acme.HTTP01, Key: jwk(t, newKey(t))}, rules.Lease{By: "other"}, start)
	if problem != nil || again.Lease.By != "w" || again.Challenges[0].KeyAuthorization != want {
		t.Errorf("V03: a second response restarts the challenge: %v", problem)
	}
	valid := attempted.Settle(rules.Outcome{}, start)
	if valid.Status != acme.StatusValid || valid.Challenges[0].Validated == nil || !valid.Lease.Due.IsZero() {
		t.Errorf("V01: after proof %+v", valid)
	}
	if got := valid.StatusAt(valid.Expires); got != acme.StatusExpired {
		t.Errorf("Z02: after its time it is %s", got)
	}
	failed := attempted.Settle(rules.Outcome{Problem: acme.Problemf(acme.TypeConnection, "refused")}, start)
	if failed.Status != acme.StatusInvalid || failed.Challenges[0].Error == nil {
		t.Errorf("Z02: after failure %+v", failed)
	}
	if settled := failed.Settle(rules.Outcome{}, start); settled.Status != acme.StatusInvalid {
		t.Error("a final authorization was settled again")
	}
	for name, authz := range map[string]rules.Authz{"pending": pending, "valid": valid} {
		ended, problem := authz.Update(acme.Deactivation{Status: acme.StatusDeactivated}, start)
		if problem != nil || ended.StatusAt(start) != acme.StatusDeactivated {
			t.Errorf("Z04: deactivating a %s one: %v", name, problem)
		}
		if late := ended.Settle(rules.Outcome{}, start); late.Status != acme.StatusDeactivated {
			t.Errorf("Z04: a late validation revives it: %s", late.Status)
		}
		if _, problem := ended.Attempt(rules.Answer{Type: acme.HTTP01, Key: a.Key}, rules.Lease{}, start); problem == nil {
			t.Error("Z04: a deactivated one can be attempted")
		}
	}
	if _, problem := failed.Update(acme.Deactivation{Status: acme.StatusDeactivated}, start); problem == nil {
		t.Error("an invalid one can be deactivated")
	}
	if _, problem := pending.Update(acme.Deactivation{Status: acme.StatusValid}, start); typeOf(problem) != acme.TypeMalformed {
		t.Errorf("setting it valid: %v", problem)
	}
	if _, problem := pending.Attempt(rules.Answer{Type: acme.HTTP01, Key: a.Key}, rules.Lease{}, pending.Expires); problem == nil {
		t.Error("an expired one can be attempted")
	}
}

func TestRevocation(t *testing.T) {
	c := rules.Certificate{Serial: "01", State: rules.Issued, NotAfter: start.Add(time.Hour)}
	reason := func(n int) *int { return &n }
	for n := -1; n <= 12; n++ {
		_, problem := c.Revoke(reason(n), false, start)
		allowed := n == 0 || n == 1 || n == 3 || n == 4 || n == 5
		if (problem == nil) != allowed || problem != nil && problem.Type != acme.TypeBadRevocationReason {
			t.Errorf("R06: reason %d: %v", n, problem)
		}
	}
	revoked, problem := c.Revoke(nil, false, start)
	if problem != nil || !revoked.Revoked.Equal(start) || revoked.Reason != 0 {
		t.Errorf("R07: %+v, %v", revoked, problem)
	}
	if _, problem := revoked.Revoke(nil, false, start); typeOf(problem) != acme.TypeAlreadyRevoked {
		t.Errorf("R05: %v", problem)
	}
	if upgraded, problem := revoked.Revoke(reason(1), true, start.Add(time.Minute)); problem != nil || upgraded.Reason != 1 || !upgraded.Revoked.Equal(start) {
		t.Errorf("R05: the key's holder says that it is compromised: %+v, %v", upgraded, problem)
	}
	if _, problem := revoked.Revoke(reason(1), false, start); typeOf(problem) != acme.TypeAlreadyRevoked {
		t.Errorf("R05: the account says so: %v", problem)
	}
	if _, problem := c.Revoke(nil, false, c.NotAfter); typeOf(problem) != acme.TypeMalformed {
		t.Errorf("R08: after its end: %v", problem)
	}
	if given := c.Abandon(start); given.State != rules.Abandoned || given.Revoked.IsZero() {
		t.Errorf("an abandoned one: %+v", given)
	}
}
