// Package bench is a load generator for ACME servers: it obtains certificates as
// many clients would and measures what each kind of request takes. It is a client
// of its own, so that it costs little: it shares the machine with what it measures.
//
// It loads only servers at loopback and private addresses, unless Config.Anywhere
// says that the server is the user's own: load on somebody else's server is abuse.
package bench

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net/url"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Config says what is loaded, and how. Run checks it; zero values are the defaults that stand beside them.
type Config struct {
	Directory string         // URL of the directory, https
	Roots     *x509.CertPool // which servers are believed; nil: those that the machine does
	Anywhere  bool           // load a server whatever its address
	HTTP2     bool           // HTTP/2 in place of HTTP/1.1
	UserAgent string

	Parallel int           // issuances under way at once, at most; 1, or 64 with Rate
	Rate     float64       // issuances to begin in a second, whether or not earlier ones are done; 0: one after the other
	Count    int           // issuances to begin; with Duration, whichever comes first
	Duration time.Duration // for how long issuances are begun
	Warmup   int           // issuances before those that count

	Challenge   acme.ChallengeType // http-01
	Names       int                // names in each order; 1
	Suffix      string             // the domain that the names are under; bench.localhost
	Wildcard    bool               // "*." before each name
	KeyType     acme.KeyType       // of the certificates' keys; P-256
	NewAccounts bool               // a new account for each issuance
	Accounts    int                // how many accounts there are, if they are not new; Parallel
	Renewals    float64            // share of orders that are for the names of an earlier one, 0 to 1
	Replaces    bool               // such orders name the certificate that they replace (RFC 9773 §5)
	Revoke      float64            // share of certificates that are revoked afterwards, 0 to 1
	Profile     string             // draft-ietf-acme-profiles

	Poll    time.Duration // before the second look at what is not done, then twice as long each time; 20 ms
	Timeout time.Duration // for one issuance; 60 s

	HTTP01, TLSALPN01, DNS string // addresses for the responders; "" for none
	Answer                 string // the address that the DNS server gives for all names; 127.0.0.1

	PIDs []int // processes whose CPU time and memory are reported
	Tree bool  // their children as well

	// Progress, if set, is called after each certificate that counts with how many there are.
	// It is short, and may be called by several goroutines at once.
	Progress func(issued int)
}

// Bounds of a Config: what one machine can do, and what a mistake must not exceed.
const (
	maxParallel = 4096
	maxNames    = 100
	maxAccounts = 100_000
	maxCount    = 100_000_000
	maxRate     = 100_000
	maxPrepared = 10_000 // CSRs and keys of new accounts that are made beforehand; later ones are made as they are needed
)

// ahead is how many requests are prepared.
func (c Config) ahead() int {
	if c.Count == 0 {
		return maxPrepared
	}
	return min(maxPrepared, c.Count+c.Warmup+1)
}

// withDefaults fills in what c does not say, and says what makes no sense.
func (c Config) withDefaults() (Config, error) {
	if c.Rate > 0 {
		fill(&c.Parallel, 64)
	}
	fill(&c.Parallel, 1)
	fill(&c.Names, 1)
	fill(&c.Accounts, c.Parallel)
	fill(&c.Challenge, acme.HTTP01)
	fill(&c.Suffix, "bench.localhost")
	fill(&c.KeyType, acme.KeyP256)
	fill(&c.Poll, 20*time.Millisecond)
	fill(&c.Timeout, time.Minute)
	fill(&c.Answer, "127.0.0.1")
	if c.Count == 0 && c.Duration == 0 {
		c.Count = 1000
	}
	u, err := url.Parse(c.Directory)
	suffix, problem := acme.Identifier{Type: acme.DNS, Value: c.Suffix}.Normalize()
	_, starred := suffix.Base()
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "":
		return c, fmt.Errorf("the directory %q is not a URL such as https://localhost:8443/directory", c.Directory)
	case problem != nil || starred || len(c.Suffix) > 180:
		return c, fmt.Errorf("the suffix %q is not a domain to put names under", c.Suffix)
	case c.Parallel < 1 || c.Parallel > maxParallel:
		return c, fmt.Errorf("%d issuances in parallel: there can be 1 to %d", c.Parallel, maxParallel)
	case math.IsNaN(c.Rate) || c.Rate < 0 || c.Rate > maxRate:
		return c, fmt.Errorf("a rate of %v: it can be up to %d in a second", c.Rate, maxRate)
	case c.Count < 0 || c.Count > maxCount || c.Warmup < 0 || c.Warmup > maxCount || c.Duration < 0:
		return c, fmt.Errorf("counts go from 0 to %d, and durations are not negative", maxCount)
	case c.Names < 1 || c.Names > maxNames:
		return c, fmt.Errorf("%d names in an order: there can be 1 to %d", c.Names, maxNames)
	case c.Accounts < 1 || c.Accounts > maxAccounts:
		return c, fmt.Errorf("%d accounts: there can be 1 to %d", c.Accounts, maxAccounts)
	case !share(c.Renewals) || !share(c.Revoke):
		return c, errors.New("a share is a number from 0 to 1")
	case c.Renewals > 0 && c.NewAccounts:
		return c, errors.New("a new account has nothing to renew: renewals need old accounts")
	case c.Poll <= 0 || c.Timeout <= 0:
		return c, errors.New("the times between polls and for an issuance are more than 0")
	}
	c.Suffix = suffix.Value
	return c, c.checkChallenge()
}

// Check says what makes no sense in c, as Run does.
func (c Config) Check() error {
	_, err := c.withDefaults()
	return err
}

// checkChallenge says what the challenge type needs and c does not have.
func (c Config) checkChallenge() error {
	address, ok := map[acme.ChallengeType]string{acme.HTTP01: c.HTTP01, acme.TLSALPN01: c.TLSALPN01, acme.DNS01: c.DNS}[c.Challenge]
	switch {
	case !ok:
		return fmt.Errorf("challenges of type %q are not answered: choose http-01, dns-01 or tls-alpn-01", c.Challenge)
	case address == "":
		return fmt.Errorf("%s needs a responder: give it an address", c.Challenge)
	case c.Wildcard && c.Challenge != acme.DNS01:
		return fmt.Errorf("wildcards are proven by dns-01 alone, not by %s", c.Challenge)
	}
	return nil
}

func share(f float64) bool { return f >= 0 && f <= 1 }

// fill gives a field its default.
func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Run loads the server as c says, until all is done or ctx ends, and returns what
// was measured. It first obtains one certificate alone: if that fails, so does Run,
// with an error that says why as well as can be known (see Unproven, Distrusted and the errors of this package).
func Run(ctx context.Context, c Config) (*Report, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	g := &generator{config: c, run: newRunName()}
	if g.server, err = reach(ctx, c); err != nil {
		return nil, err
	}
	if g.responders, err = startResponders(c); err != nil {
		return nil, err
	}
	defer g.responders.close()
	if g.keys, err = newKeyPool(c); err != nil {
		return nil, err
	}
	watch, err := newWatch(c.PIDs, c.Tree)
	if err != nil {
		return nil, err
	}
	if err := g.begin(ctx); err != nil {
		return nil, err
	}
	defer g.close()
	if err := g.warmUp(ctx); err != nil {
		return nil, err
	}
	return g.measure(ctx, watch), nil
}
