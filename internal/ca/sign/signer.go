package sign

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// ErrRefused means that the request breaks the profile, the issuer's name
// constraints or a lint. Nothing was signed, and trying again will not help.
var ErrRefused = errors.New("refused")

// ErrValidity is an ErrRefused: the validity that was asked for cannot be given at this time.
var ErrValidity = errors.New("the validity cannot be given")

// settleTimeout bounds the wait for the journal after a signature was made.
const settleTimeout = 10 * time.Second

// Config is what a Signer needs. Issuers, Profiles and Journal are required.
type Config struct {
	Issuers  []Issuer // the first one signs new certificates, all of them sign CRLs
	Profiles []Profile
	Journal  Journal          // one for all signers that share these issuers
	Now      func() time.Time // nil means time.Now
}

// Signer signs certificates and CRLs. It is safe for concurrent use.
type Signer struct {
	current     *authority
	authorities map[string]*authority
	profiles    map[string]Profile
	journal     Journal
	now         func() time.Time
}

// New checks the issuers' keys and certificates and makes the signer.
func New(c Config) (*Signer, error) {
	if len(c.Issuers) == 0 || len(c.Profiles) == 0 || c.Journal == nil {
		return nil, errors.New("making a signer: it needs an issuer, a profile and a journal")
	}
	lints, err := newLinter()
	if err != nil {
		return nil, fmt.Errorf("making a signer: %w", err)
	}
	s := &Signer{authorities: map[string]*authority{}, profiles: map[string]Profile{}, journal: c.Journal, now: c.Now}
	if s.now == nil {
		s.now = time.Now
	}
	for _, issuer := range c.Issuers {
		if err := issuer.check(); err != nil {
			return nil, fmt.Errorf("making a signer: %w", err)
		}
		if issuer.ID == "" || s.authorities[issuer.ID] != nil {
			return nil, fmt.Errorf("making a signer: the issuer ID %q is empty or not the only one", issuer.ID)
		}
		if s.authorities[issuer.ID], err = newAuthority(issuer, lints); err != nil {
			return nil, fmt.Errorf("making a signer: issuer %q: %w", issuer.ID, err)
		}
	}
	s.current = s.authorities[c.Issuers[0].ID]
	for _, profile := range c.Profiles {
		if err := profile.check(); err != nil {
			return nil, fmt.Errorf("making a signer: %w", err)
		}
		if _, twice := s.profiles[profile.Name]; twice {
			return nil, fmt.Errorf("making a signer: there are two profiles %q", profile.Name)
		}
		if missing := MissingUsages(s.current.Certificate, profile.usages()); len(missing) > 0 {
			return nil, fmt.Errorf("making a signer: profile %q has extended key usages that issuer %q does not allow below it: %s",
				profile.Name, s.current.ID, missing)
		}
		s.profiles[profile.Name] = profile
	}
	return s, nil
}

// Request asks for a certificate.
type Request struct {
	Order       string            // the idempotency key: one order, one certificate
	Profile     string            // Profile.Name
	Identifiers []acme.Identifier // at least one, each once, in normal form
	PublicKey   crypto.PublicKey  // *ecdsa.PublicKey, *rsa.PublicKey or ed25519.PublicKey

	// MustStaple is what the CSR asked for; a profile need not follow it.
	MustStaple bool

	// What the order asked for, in whole seconds; zero leaves it to the profile (RFC 8555 §7.4).
	NotBefore, NotAfter time.Time
}

// Certificate is a signed and journalled certificate.
type Certificate struct {
	Serial    string // lower-case hex, two digits an octet
	Issuer    string // Issuer.ID
	DER       []byte
	NotBefore time.Time
	NotAfter  time.Time // the last second of validity
	// Made says that this call made it. Otherwise it is from an earlier one.
	Made bool
}

// Certificate returns the certificate of r's order, and makes it if there is
// none yet. It may be called again after any error, any crash, and from several
// machines: the order never has two certificates. An error that wraps
// ErrRefused is final; one that wraps ErrConflict says that another signer is
// at the same order.
//
// docs/issuance.md shows these steps, and what a crash after each leaves.
func (s *Signer) Certificate(ctx context.Context, r Request) (Certificate, error) {
	if r.Order == "" {
		return Certificate{}, fmt.Errorf("signing a certificate: %w: there is no order", ErrRefused)
	}
	// 1. What became of this order before? A crash here or in step 2 leaves nothing.
	before, found, err := s.journal.Lookup(ctx, r.Order)
	if err != nil {
		return Certificate{}, fmt.Errorf("looking up order %s in the journal: %w", r.Order, err)
	}
	if found && len(before.DER) != 0 {
		return s.settled(before, r)
	}
	// A reservation without a result is never signed again: the bytes would
	// differ, and the first ones may exist. Step 3 abandons it for a new serial.
	entry, linted, err := s.prepare(r) // 2. Build and lint.
	if err != nil {
		return Certificate{}, fmt.Errorf("preparing the certificate of order %s: %w", r.Order, err)
	}
	// 3. The intent, durably. A crash after it leaves a reservation without a
	// result: a serial that the next attempt abandons and that goes on the CRL.
	if err := s.journal.Reserve(ctx, entry, before.Serial); err != nil {
		return Certificate{}, fmt.Errorf("reserving serial %s for order %s: %w", entry.Serial, r.Order, err)
	}
	// 4. Sign. A crash after it leaves the same as one before it: the bytes were
	// in this memory only.
	if entry.DER, err = s.current.sign(linted); err != nil {
		return Certificate{}, fmt.Errorf("order %s, serial %s: %w", r.Order, entry.Serial, err)
	}
	// 5. The result, durably. A crash after it leaves a settled entry, which step
	// 1 returns. A caller who no longer waits must not cost the order its serial.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if err := s.journal.Settle(ctx, entry); err != nil {
		return Certificate{}, fmt.Errorf("settling serial %s for order %s: %w", entry.Serial, r.Order, err)
	}
	// 6. Only now may the bytes leave.
	made := entry.certificate()
	made.Made = true
	return made, nil
}

func (e Entry) certificate() Certificate {
	return Certificate{Serial: e.Serial, Issuer: e.Issuer, DER: e.DER, NotBefore: e.NotBefore, NotAfter: e.NotAfter}
}

// prepare checks r, draws a serial, and builds and lints the certificate.
func (s *Signer) prepare(r Request) (Entry, *token, error) {
	profile, ok := s.profiles[r.Profile]
	if !ok {
		return Entry{}, nil, fmt.Errorf("%w: there is no profile %q", ErrRefused, r.Profile)
	}
	if err := s.check(r, profile); err != nil {
		return Entry{}, nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	now := s.now()
	notBefore, notAfter, err := profile.validity(r, s.current.Certificate, now)
	if err != nil {
		return Entry{}, nil, err
	}
	serial := newSerial(now)
	template, err := profile.template(r, s.current.Issuer, serial)
	if err != nil {
		return Entry{}, nil, err
	}
	template.NotBefore, template.NotAfter = notBefore, notAfter
	linted, err := s.current.lintCertificate(template, r.PublicKey, profile.leftOut())
	if err != nil {
		return Entry{}, nil, err
	}
	return Entry{
		Order:     r.Order,
		Serial:    hex.EncodeToString(serial),
		Issuer:    s.current.ID,
		Profile:   profile.Name,
		NotBefore: notBefore,
		NotAfter:  notAfter,
		Digest:    sha256.Sum256(linted.tbs),
	}, linted, nil
}

// check refuses what the caller should not have asked for.
func (s *Signer) check(r Request, p Profile) error {
	if err := p.permits(r); err != nil {
		return err
	}
	seen := make(map[acme.Identifier]bool, len(r.Identifiers))
	for _, id := range r.Identifiers {
		normal, problem := id.Normalize()
		switch {
		case problem != nil:
			return problem
		case normal != id:
			return fmt.Errorf("the name %q is not in normal form", id.Value)
		case seen[id]:
			return fmt.Errorf("the name %q is there twice", id.Value)
		case !s.current.permits(id):
			return fmt.Errorf("the name %q lies outside the name constraints of issuer %q", id.Value, s.current.ID)
		}
		seen[id] = true
	}
	if err := checkKey(r.PublicKey, cmp.Or(p.LeastRSA, minRSABits)); err != nil {
		return err
	}
	for _, a := range s.authorities {
		if pub, ok := a.Certificate.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && pub.Equal(r.PublicKey) {
			return fmt.Errorf("the key is that of issuer %q", a.ID)
		}
	}
	return nil
}

// settled returns the certificate of an entry after checking that it answers r:
// whoever asks again with another key or other names must not be given it.
func (s *Signer) settled(e Entry, r Request) (Certificate, error) {
	fail := func(why string) (Certificate, error) {
		return Certificate{}, fmt.Errorf("the journal's certificate %s for order %s %s", e.Serial, r.Order, why)
	}
	cert, err := x509.ParseCertificate(e.DER)
	if err != nil {
		return fail("cannot be read: " + err.Error())
	}
	if e.Order != r.Order || hex.EncodeToString(cert.SerialNumber.Bytes()) != e.Serial ||
		sha256.Sum256(cert.RawTBSCertificate) != e.Digest {
		return fail("is not what was reserved")
	}
	if a := s.authorities[e.Issuer]; a != nil { // a retired issuer's certificates stay good
		if err := a.Certificate.CheckSignature(a.algorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
			return fail("does not verify: " + err.Error())
		}
	}
	key, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !key.Equal(r.PublicKey) || !slices.Equal(namesIn(cert), sorted(r.Identifiers)) {
		return Certificate{}, fmt.Errorf("%w: order %s has a certificate for another key or other names", ErrRefused, r.Order)
	}
	e.DER = bytes.Clone(e.DER)
	return e.certificate(), nil
}

// namesIn lists what cert's subject alternative names are, sorted.
func namesIn(cert *x509.Certificate) []acme.Identifier {
	var ids []acme.Identifier
	for _, name := range cert.DNSNames {
		ids = append(ids, acme.Identifier{Type: acme.DNS, Value: name})
	}
	for _, ip := range cert.IPAddresses {
		ids = append(ids, acme.Identifier{Type: acme.IP, Value: ip.String()})
	}
	return sorted(ids)
}

func sorted(ids []acme.Identifier) []acme.Identifier {
	return slices.SortedFunc(slices.Values(ids), func(a, b acme.Identifier) int {
		if a.Type != b.Type {
			return bytes.Compare([]byte(a.Type), []byte(b.Type))
		}
		return bytes.Compare([]byte(a.Value), []byte(b.Value))
	})
}
