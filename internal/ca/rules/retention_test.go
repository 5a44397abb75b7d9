package rules_test

import (
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

func TestWhatGoes(t *testing.T) {
	r := rules.Retention{}.Complete([]rules.Profile{rules.Classic()})
	if r != rules.DefaultRetention() {
		t.Fatalf("nothing said is %+v", r)
	}
	order := rules.Order{Expires: start}
	processing, due := order, order
	processing.CSR, due.Lease.Due = []byte{1}, start
	authz := rules.Authz{Status: acme.StatusValid, Expires: start}
	validating := authz
	validating.Lease = rules.Lease{Due: start, Until: start, By: "x"}
	issued := rules.Certificate{State: rules.Issued, NotAfter: start}
	reserved, revoked, abandoned := issued, issued, issued.Abandon(start)
	reserved.State, revoked.Revoked = rules.Reserved, start
	for _, test := range []struct {
		name string
		goes func(now time.Time) bool
		at   time.Duration // after start; 0 for never
	}{
		{"an order", func(now time.Time) bool { return r.OrderGoes(order, now) }, 30 * day},
		{"a processing order", func(now time.Time) bool { return r.OrderGoes(processing, now) }, 0},
		{"an order with work", func(now time.Time) bool { return r.OrderGoes(due, now) }, 0},
		{"an authorization", func(now time.Time) bool { return r.AuthzGoes(authz, now) }, 30 * day},
		{"an authorization with work", func(now time.Time) bool { return r.AuthzGoes(validating, now) }, 0},
		{"a certificate", func(now time.Time) bool { return r.CertificateGoes(issued, time.Time{}, now) }, 90 * day},
		{"a reserved serial", func(now time.Time) bool { return r.CertificateGoes(reserved, now, now) }, 0},
		{"a revoked certificate without a list", func(now time.Time) bool { return r.CertificateGoes(revoked, time.Time{}, now) }, 0},
		{"a revoked certificate before the list after its end", func(now time.Time) bool { return r.CertificateGoes(revoked, start, now) }, 0},
		{"a revoked certificate after that", func(now time.Time) bool { return r.CertificateGoes(revoked, start.Add(1), now) }, 90 * day},
		{"an abandoned serial", func(now time.Time) bool { return r.CertificateGoes(abandoned, start.Add(1), now) }, 90 * day},
	} {
		if test.at == 0 {
			if test.goes(start.Add(1000 * day)) {
				t.Errorf("%s goes", test.name)
			}
			continue
		}
		if test.goes(start.Add(test.at)) || !test.goes(start.Add(test.at+1)) {
			t.Errorf("%s does not go after %s", test.name, test.at)
		}
	}
	never := rules.Retention{Orders: rules.Forever, Authorizations: rules.Forever, Certificates: rules.Forever, Evidence: rules.Forever}
	if later := start.Add(100_000 * day); never.OrderGoes(order, later) || never.AuthzGoes(authz, later) || never.CertificateGoes(issued, later, later) {
		t.Error("what is kept forever goes")
	}
}

// What is needed to make sense of something else stays as long as that.
func TestRetentionIsCompleted(t *testing.T) {
	private := rules.Classic()
	private.Possession.Within = 50 * day
	for _, test := range []struct {
		said, want rules.Retention
		profile    rules.Profile
	}{
		{rules.Retention{Authorizations: day, Evidence: 400 * day},
			rules.Retention{Orders: 30 * day, Authorizations: 400 * day, Certificates: 90 * day, Evidence: 400 * day}, rules.Classic()},
		{rules.Retention{Orders: day, Authorizations: day, Evidence: day},
			rules.Retention{Orders: 50 * day, Authorizations: 50 * day, Certificates: 90 * day, Evidence: day}, private},
		{rules.Retention{Orders: day, Evidence: rules.Forever},
			rules.Retention{Orders: day, Authorizations: rules.Forever, Certificates: 90 * day, Evidence: rules.Forever}, rules.Classic()},
	} {
		if got := test.said.Complete([]rules.Profile{test.profile}); got != test.want {
			t.Errorf("%+v becomes %+v, want %+v", test.said, got, test.want)
		}
	}
}

func TestIDsFrom(t *testing.T) {
	for range 100 {
		if id := rules.NewID(start); id < rules.IDsFrom(start) || id >= rules.IDsFrom(start.Add(time.Millisecond)) {
			t.Fatalf("%s is not between %s and %s", id, rules.IDsFrom(start), rules.IDsFrom(start.Add(time.Millisecond)))
		}
	}
	if rules.IDsFrom(time.Time{}) > rules.IDsFrom(start) {
		t.Error("the beginning of time comes after today")
	}
}

// An order whose authorizations are not kept any more is what it was: valid, or expired.
func TestOrderOfGoneAuthzs(t *testing.T) {
	o := rules.Order{Authzs: []string{"x"}, Expires: start}
	gone := []rules.Authz{rules.GoneAuthz("x")}
	for _, now := range []time.Time{start.Add(-day), start.Add(day)} {
		if status, problem := rules.OrderStatus(o, gone, now), rules.OrderError(o, gone, now); status != acme.StatusInvalid || problem == nil || problem.Detail == "" {
			t.Errorf("it is %s (%v)", status, problem)
		}
	}
	valid := o.Issued("0a")
	if rules.OrderStatus(valid, gone, start) != acme.StatusValid || rules.OrderError(valid, gone, start) != nil {
		t.Error("an order with a certificate is not valid")
	}
}

// No certificate is signed for a public name without a look at CAA, though it is not known on which proof.
func TestCAAOfGoneAuthz(t *testing.T) {
	o := rules.Order{Identifiers: []acme.Identifier{acme.IdentifierFor("a.example")}, Authzs: []string{"x"}}
	outdated := rules.CAA{Identities: []string{"ca.example"}}.Outdated(o, []rules.Authz{rules.GoneAuthz("x")}, start)
	if len(outdated) != 1 || !outdated[0].Authz.Gone() || outdated[0].Identifier != o.Identifiers[0] {
		t.Errorf("outdated: %+v", outdated)
	}
}
