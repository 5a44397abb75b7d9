package renew_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

func TestClassify(t *testing.T) {
	limited := acme.Problemf(acme.TypeRateLimited, "too many")
	limited.RetryAfter = time.Hour
	unreachable := &url.Error{Op: "Get", URL: "https://ca.test", Err: &net.OpError{Op: "dial", Err: errors.New("refused")}}
	for name, c := range map[string]struct {
		err   error
		class renew.Class
		after time.Duration
	}{
		"limit":          {fmt.Errorf("placing an order: %w", limited), renew.ClassRateLimit, time.Hour},
		"429 of a proxy": {acme.Problemf("about:blank", "no").WithStatus(429), renew.ClassRateLimit, 0},
		"503":            {acme.Problemf("about:blank", "no").WithStatus(503), renew.ClassServer, 0},
		"strange":        {acme.Problemf("urn:example:strange", "no"), renew.ClassServer, 0},
		"rejected":       {acme.Problemf(acme.TypeRejectedIdentifier, "no"), renew.ClassInput, 0},
		"account":        {acme.Problemf(acme.TypeAccountDoesNotExist, "no"), renew.ClassAccount, 0},
		"proof":          {&renew.AuthorizationError{Failures: []renew.Failure{{Problem: acme.Problemf(acme.TypeDNS, "no")}}}, renew.ClassValidation, 0},
		"network":        {fmt.Errorf("reading the directory: %w", unreachable), renew.ClassNetwork, 0},
		"slow":           {context.DeadlineExceeded, renew.ClassNetwork, 0},
		"nonsense":       {fmt.Errorf("%w: html", acme.ErrUnreadable), renew.ClassServer, 0},
		"here":           {errors.New("the port is taken"), renew.ClassConfiguration, 0},
		"interrupt":      {fmt.Errorf("waiting: %w", context.Canceled), "", 0},
	} {
		if class, after := renew.Classify(c.err); class != c.class || after != c.after {
			t.Errorf("%s: %q, %s", name, class, after)
		}
	}
	if f := renew.Failed(nil, context.Canceled, "", "", time.Now()); f != nil {
		t.Errorf("an interrupt is remembered: %+v", f)
	}
}

// noon is when the tests of this file take place; the certificate lives for 90 days around it.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func lifeWithLeft(left time.Duration) renew.Life {
	return renew.Life{NotBefore: noon.Add(left - 90*day), NotAfter: noon.Add(left)}
}

func TestTroubleIsTriedAgainLaterAndLater(t *testing.T) {
	var f *renew.Trouble
	for i, want := range []time.Duration{time.Minute, 10 * time.Minute, 100 * time.Minute, day, day} {
		f = renew.Failed(f, io.EOF, "s", "a", noon)
		if f.Count != i+1 || f.Next.Before(noon.Add(want/2)) || f.Next.After(noon.Add(want+want/2)) || f.Error != "EOF" {
			t.Errorf("after failure %d: %+v", i+1, f)
		}
		if until, why := f.Waits("a", lifeWithLeft(30*day), noon); !until.Equal(f.Next) || !strings.Contains(why, "failed") {
			t.Errorf("after failure %d: waits until %s, %q", i+1, until, why)
		}
		if until, _ := f.Waits("a", lifeWithLeft(30*day), f.Next); !until.IsZero() {
			t.Errorf("after failure %d: still waits until %s", i+1, until)
		}
	}
	if until, _ := f.Waits("a", lifeWithLeft(14*day), noon); until.After(noon.Add(100 * time.Minute)) {
		t.Errorf("in a hurry it waits until %s", until)
	}
	if until, _ := f.Waits("b", lifeWithLeft(30*day), noon); !until.IsZero() {
		t.Errorf("another request waits until %s", until)
	}
	if until, _ := f.Waits("a", lifeWithLeft(30*day), noon.Add(-2*time.Hour)); !until.IsZero() {
		t.Errorf("after the clock was put back it waits until %s", until)
	}
	if g := renew.Failed(f, io.EOF, "s", "b", noon.Add(time.Hour)); g.Count != 1 || !g.First.Equal(noon.Add(time.Hour)) {
		t.Errorf("another request inherits failures: %+v", g)
	}
}

func TestTroubleByClass(t *testing.T) {
	problem := func(kind acme.ProblemType, after time.Duration) error {
		p := acme.Problemf(kind, "no")
		p.RetryAfter = after
		return p
	}
	for name, c := range map[string]struct {
		err         error
		left        time.Duration
		from, until time.Duration // after the failure
	}{
		"the CA's word wins":           {problem(acme.TypeRateLimited, 36*time.Hour), 30 * day, 36 * time.Hour, 36 * time.Hour},
		"also in a hurry":              {problem(acme.TypeRateLimited, 36*time.Hour), day, 36 * time.Hour, 36 * time.Hour},
		"but not for ever":             {problem(acme.TypeRateLimited, 300*day), 30 * day, 7 * day, 7 * day},
		"bad input waits":              {problem(acme.TypeRejectedIdentifier, 0), 30 * day, 1000 * day, 1<<63 - 1},
		"bad input in a hurry":         {problem(acme.TypeRejectedIdentifier, 0), 10 * day, day, day},
		"the account":                  {problem(acme.TypeUserActionRequired, 0), 30 * day, day, day},
		"what is wrong here":           {errors.New("no such plugin"), 30 * day, 0, 0},
		"a short wait is for the rule": {problem(acme.TypeServerInternal, time.Second), 30 * day, 30 * time.Second, 90 * time.Second},
	} {
		f := renew.Failed(nil, c.err, "s", "a", noon)
		until, why := f.Waits("a", lifeWithLeft(c.left), noon)
		after := until.Sub(noon)
		if until.IsZero() {
			after = 0
		}
		if after < c.from || after > c.until || (after > 0) != (why != "") {
			t.Errorf("%s: waits %s, %q", name, after, why)
		}
	}
}

func TestFingerprint(t *testing.T) {
	a, b := renew.Fingerprint("x", []string{"y"}), renew.Fingerprint("x", []string{"z"})
	if a == b || a != renew.Fingerprint("x", []string{"y"}) || a == "" {
		t.Error(a, b)
	}
}
