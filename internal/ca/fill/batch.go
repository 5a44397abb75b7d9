package fill

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// filler makes rows.
type filler struct {
	count  int
	issuer string
	until  time.Time // when the last certificate was issued
	policy rules.Policy
	model  model
}

func newFiller(issuer string, count int, now time.Time) (*filler, error) {
	names, err := acme.ParseSubtrees([]string{suffix})
	if err != nil {
		return nil, err
	}
	f := &filler{count: count, issuer: issuer, until: now, policy: rules.Policy{Names: names, Profiles: []rules.Profile{rules.Classic()}}}
	f.model, err = newModel()
	return f, err
}

// suffix is the domain that the certificates are for.
const suffix = "fill.test"

// batch is what one transaction inserts: each list in the order of its key.
type batch struct {
	accounts     []rules.Account
	authzs       []rules.Authz
	orders       []rules.Order
	certificates []rules.Certificate
}

// batch makes the rows of certificates from to end.
func (f *filler) batch(from, end int) (*store.Bulk, error) {
	b := new(batch)
	random := mathrand.NewChaCha8(seed(f.count, from))
	var account rules.Account
	for n := from; n < end; n++ {
		now := f.moment(n)
		if (n-from)%perAccount == 0 {
			var err error
			if account, err = f.account(now); err != nil {
				return nil, err
			}
			b.accounts = append(b.accounts, account)
		}
		if err := f.issue(b, account, n, now, random); err != nil {
			return nil, err
		}
	}
	// By key, as the index of the keys has them.
	slices.SortFunc(b.accounts, func(x, y rules.Account) int { return strings.Compare(x.Key.Thumbprint(), y.Key.Thumbprint()) })
	return store.NewBulk(b.accounts, b.authzs, b.orders, b.certificates), nil
}

// seed makes the random octets of a batch its own.
func seed(count, from int) (s [32]byte) {
	binary.BigEndian.PutUint64(s[:], uint64(count))
	binary.BigEndian.PutUint64(s[8:], uint64(from))
	_, _ = rand.Read(s[16:]) // never fails
	return s
}

func (f *filler) account(now time.Time) (rules.Account, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return rules.Account{}, err
	}
	public, err := acme.NewKey(key.Public())
	if err != nil {
		return rules.Account{}, err
	}
	account, problem := rules.NewAccount(f.policy, public, acme.NewAccount{Contact: []string{"mailto:admin@" + suffix}}, now)
	if problem != nil {
		return account, problem
	}
	return account, nil
}

// issue makes the rows of one certificate, as the requests of a client would have.
func (f *filler) issue(b *batch, account rules.Account, n int, now time.Time, random *mathrand.ChaCha8) error {
	serial := f.serial(n)
	order := rules.Order{ID: rules.NewID(now)} // which is not kept any more
	if f.until.Sub(now) < ordersSpread {
		var err error
		if order, err = f.order(b, account, n, now); err != nil {
			return err
		}
		order.CSRDigest = octets(random, 32)
		b.orders = append(b.orders, order.Issued(serial))
	}
	key := octets(random, 32)
	binary.BigEndian.PutUint64(key, f.place(n)<<1) // a digest has any first octets
	der, err := f.model.certificate(serial, random)
	b.certificates = append(b.certificates, rules.Certificate{
		Serial: serial, Issuer: f.issuer, Order: order.ID, Account: account.ID, Profile: f.policy.Profiles[0].Name, State: rules.Issued,
		Digest: octets(random, 32), DER: der, Key: key,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(lifetime - time.Hour), Created: now,
	})
	return err
}

// order places an order, and proves control of its name.
func (f *filler) order(b *batch, account rules.Account, n int, now time.Time) (order rules.Order, err error) {
	name := acme.Identifier{Type: acme.DNS, Value: fmt.Sprintf("host-%010d.%s", n, suffix)}
	request, problem := rules.ReadNewOrder(f.policy, acme.NewOrder{Identifiers: []acme.Identifier{name}})
	if problem != nil {
		return order, problem
	}
	placed, problem := rules.NewOrder(request, rules.Held{Account: account}, now)
	if problem != nil {
		return order, problem
	}
	for _, a := range placed.New {
		a, problem = a.Attempt(rules.Answer{Type: acme.HTTP01, Key: account.Key}, rules.Lease{}.Taken("fill", now, time.Minute), now)
		if problem != nil {
			return order, problem
		}
		b.authzs = append(b.authzs, a.Settle(rules.Outcome{}, now))
	}
	return placed.Order, nil
}

func octets(random *mathrand.ChaCha8, n int) []byte {
	list := make([]byte, n)
	_, _ = random.Read(list) // never fails
	return list
}

// model is a real certificate of about the default profile's size, and where what differs stands in it.
type model struct {
	der               []byte
	serial, key, sign int // offsets
}

// Lengths of what differs, in octets. The rest of a signature are lengths and tags.
const (
	serialLength = 19
	keyLength    = 64 // the two coordinates of a point of P-256
	signLength   = 24 // the end of the signature
)

func newModel() (m model, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return m, err
	}
	serial := bytes.Repeat([]byte{0x5a}, serialLength)
	name := "host-0000000000." + suffix
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now(), NotAfter: time.Now().Add(lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
		SubjectKeyId: make([]byte, 20), AuthorityKeyId: make([]byte, 20),
		CRLDistributionPoints: []string{"http://ca.fill.test:8080/crls/1.crl"}, IssuingCertificateURL: []string{"http://ca.fill.test:8080/issuers/1.der"},
	}
	parent := &x509.Certificate{Subject: pkix.Name{CommonName: "Cairn issuer, as large as one that a fill stands in for", Organization: []string{"Cairn"}}}
	if m.der, err = x509.CreateCertificate(rand.Reader, template, parent, key.Public(), key); err != nil {
		return m, err
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return m, err
	}
	m.serial, m.key, m.sign = bytes.Index(m.der, serial), bytes.Index(m.der, point)+1, len(m.der)-signLength
	if m.serial < 0 || m.key < 1 {
		return m, errors.New("a certificate does not hold its own serial number and key")
	}
	return m, nil
}

// certificate makes a copy of the model with a serial number of its own.
func (m model) certificate(serial string, random *mathrand.ChaCha8) ([]byte, error) {
	der := bytes.Clone(m.der)
	if _, err := hex.Decode(der[m.serial:m.serial+serialLength], []byte(serial)); err != nil {
		return nil, err
	}
	_, _ = random.Read(der[m.key : m.key+keyLength])
	_, _ = random.Read(der[m.sign:])
	return der, nil
}
