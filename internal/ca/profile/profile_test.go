package profile_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/profile"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
)

const day = 24 * time.Hour

var now = time.Date(2026, time.November, 24, 0, 0, 0, 0, time.UTC)

// What tests of other packages take for the classic profile is what it is.
func TestClassicIsTheOne(t *testing.T) {
	if got := profile.Classic().Sign(); !reflect.DeepEqual(got.Usages, []sign.Usage{sign.ServerAuth}) {
		t.Errorf("usages %v", got.Usages)
	}
	signs := profile.Classic().Sign()
	signs.Usages = nil // what nil means
	if want := sign.Classic(); !reflect.DeepEqual(signs, want) {
		t.Errorf("the signer's is %+v, not %+v", want, signs)
	}
	if want, got := rules.Classic(), profile.Classic().Rules(); !reflect.DeepEqual(got, want) {
		t.Errorf("the rules' is %+v, not %+v", want, got)
	}
}

func TestStandardProfiles(t *testing.T) {
	list := profile.List(profile.Standard())
	if err := list.Check(now); err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		name                          string
		validity, order, pending, use time.Duration
		names                         int
	}{
		{"classic", 90 * day, 7 * day, 7 * day, 30 * day, 100},
		{"tlsserver", 45 * day, 8 * time.Hour, time.Hour, 7 * time.Hour, 25},
		{"shortlived", 160 * time.Hour, 8 * time.Hour, time.Hour, 7 * time.Hour, 25},
	} {
		r, s := list.Rules()[i], list[i].Sign()
		if r.Name != want.name || r.OrderLifetime != want.order || r.PendingLifetime != want.pending || r.AuthzLifetime != want.use ||
			r.Reuse != want.use || r.MaxNames != want.names || s.Validity != want.validity || s.MaxNames != want.names || r.Retries != 2 {
			t.Errorf("%s is %+v and %+v", want.name, r, s)
		}
		if !strings.HasPrefix(list[i].Description, profile.Span(want.validity)[:2]) {
			t.Errorf("%s is described as %q", want.name, list[i].Description)
		}
	}
	if own := list.Sign()[0]; own.Name != profile.OwnName || len(list.Sign()) != 4 {
		t.Errorf("the authority's own is %+v", own)
	}
}

// Each field that makes no sense is named, with what to do.
func TestCheckNamesTheField(t *testing.T) {
	for want, change := range map[string]func(*profile.Definition){
		`the name "a b"`:                func(d *profile.Definition) { d.Name = "a b" },
		`the name "_own"`:               func(d *profile.Definition) { d.Name = profile.OwnName },
		"description: ":                 func(d *profile.Definition) { d.Description = "" },
		"max_names: 0":                  func(d *profile.Definition) { d.MaxNames = 0 },
		"max_names: 101":                func(d *profile.Definition) { d.MaxNames = 101 },
		"retries: -1":                   func(d *profile.Definition) { d.Retries = -1 },
		"identifiers: \"email\"":        func(d *profile.Definition) { d.Identifiers = []acme.IdentifierType{"email"} },
		"identifiers: the list":         func(d *profile.Definition) { d.Identifiers = []acme.IdentifierType{} },
		"keys: the list":                func(d *profile.Definition) { d.Keys = []acme.KeyType{} },
		"challenges: the list":          func(d *profile.Definition) { d.Challenges = []acme.ChallengeType{} },
		"validity: 30s":                 func(d *profile.Definition) { d.Validity = 30 * time.Second },
		"order: 0s":                     func(d *profile.Definition) { d.OrderLifetime = 0 },
		"authorizations: pending: 31d":  func(d *profile.Definition) { d.PendingLifetime = 31 * day },
		"authorizations: valid: 400d":   func(d *profile.Definition) { d.AuthzLifetime = 400 * day },
		"authorizations: reuse: 31d":    func(d *profile.Definition) { d.Reuse = 31 * day },
		"backdate: 50d":                 func(d *profile.Definition) { d.Backdate = 50 * day },
		"usages: the usage \"2.5.29":    func(d *profile.Definition) { d.Usages = []sign.Usage{"2.5.29.37.0"} },
		"usages: \"serverAuth\" is":     func(d *profile.Definition) { d.Usages = []sign.Usage{sign.ServerAuth, sign.ServerAuth} },
		"no_revocation_available: a":    func(d *profile.Definition) { d.NoRevAvail = true },
		"subject: country \"de\"":       func(d *profile.Definition) { d.Subject.Country = "de" },
		"subject: organization \" x\"":  func(d *profile.Definition) { d.Subject.Organization = " x" },
		"subject: unit has more than":   func(d *profile.Definition) { d.Subject.Unit = strings.Repeat("ä", 65) },
		"validity: certificates know":   func(d *profile.Definition) { d.Validity += time.Millisecond },
		"validity: 399d is more":        func(d *profile.Definition) { d.Baseline, d.Validity = true, 399*day },
		"authorizations: valid: 201d":   func(d *profile.Definition) { d.Baseline, d.AuthzLifetime = true, 201*day },
		"usages: serverAuth must be":    func(d *profile.Definition) { d.Baseline, d.Usages = true, []sign.Usage{sign.ClientAuth} },
		"subject: country alone":        func(d *profile.Definition) { d.Baseline, d.Subject.Organization = true, "x" },
		"crl: only certificates of 7d":  func(d *profile.Definition) { d.Baseline, d.NoCRL = true, true },
		"no_revocation_available: a ce": func(d *profile.Definition) { d.NoCRL, d.NoRevAvail, d.MustStaple = true, true, true },
	} {
		d := profile.Classic()
		change(&d)
		if err := d.Check(now); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	twice := profile.List{profile.Classic(), profile.Classic()}
	if err := twice.Check(now); err == nil || !strings.Contains(err.Error(), "two profiles") {
		t.Errorf("two of a name: %v", err)
	}
	if err := (profile.List{}).Check(now); err == nil {
		t.Error("no profile at all is accepted")
	}
}

// BR §6.3.2 and §4.2.1: each limit counts from its date on, in a process that was started before, too.
func TestBaselineIsDated(t *testing.T) {
	d := profile.Classic()
	d.Baseline, d.Validity, d.AuthzLifetime, d.Reuse = true, 390*day, 190*day, 190*day
	if err := d.Check(now); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string][2]time.Duration{
		"2026-03-14T23:59:59Z": {398 * day, 398 * day},
		"2026-03-15T00:00:00Z": {200 * day, 200 * day},
		"2027-03-14T23:59:59Z": {200 * day, 200 * day},
		"2027-03-15T00:00:00Z": {100 * day, 100 * day},
		"2029-03-15T00:00:00Z": {47 * day, 10 * day},
	} {
		moment, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]time.Duration{d.Sign().ValidityLimit(moment), d.Rules().ReuseLimit(moment)}; got != want {
			t.Errorf("at %s: %v, want %v", at, got, want)
		}
	}
	if len(d.Warnings(now)) != 1 || len(d.Warnings(now.AddDate(-1, 0, 0))) != 0 {
		t.Errorf("warnings: %q", d.Warnings(now))
	}
	if free := profile.Classic(); free.Sign().ValidityLimit != nil || free.Rules().ReuseLimit != nil {
		t.Error("a private profile has the limits of public ones")
	}
}

func TestSpans(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90d": 90 * day, "160h": 160 * time.Hour, "15m": 15 * time.Minute, "1d12h": 36 * time.Hour, "90s": 90 * time.Second, "0s": 0,
		"1h30m": 90 * time.Minute, "10s": 10 * time.Second,
	} {
		got, err := profile.ParseSpan(text)
		if err != nil || got != want {
			t.Errorf("%q is %s, %v", text, got, err)
		}
		if back, err := profile.ParseSpan(profile.Span(want)); err != nil || back != want {
			t.Errorf("%s is written as %q", want, profile.Span(want))
		}
	}
	for _, text := range []string{"", "d", "90", "-1d", "+1d", "1d-1h", "90 days", "1.5d", "99999d", "1d1d", "-5m", "1y"} {
		if got, err := profile.ParseSpan(text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}

func FuzzParseSpan(f *testing.F) {
	for _, seed := range []string{"90d", "160h", "1d12h", "0s", "d", "1h0m1s", "36525d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		span, err := profile.ParseSpan(text)
		if err != nil {
			return
		}
		if back, err := profile.ParseSpan(profile.Span(span)); span < 0 || err != nil || back != span {
			t.Errorf("%q is %s, written as %q", text, span, profile.Span(span))
		}
	})
}
