package front_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// revocation is the payload of a revokeCert request; reason is JSON, or "" for none.
func revocation(der []byte, reason string) string {
	payload := `{"certificate":"` + base64.RawURLEncoding.EncodeToString(der) + `"`
	if reason != "" {
		payload += `,"reason":` + reason
	}
	return payload + "}"
}

// record is what the store knows of a certificate.
func (a *authority) record(der []byte) (found rules.Certificate) {
	a.t.Helper()
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	a.view(func(tx *store.Tx) (err error) {
		found, err = tx.Certificate(fmt.Sprintf("%x", certificate.SerialNumber.Bytes()))
		return err
	})
	return found
}

func spki(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(der)
	return digest[:]
}

// block notes that key is compromised.
func (a *authority) block(key crypto.Signer) {
	a.t.Helper()
	a.update(func(tx *store.Tx) error { return tx.BlockKey(spki(a.t, key)) })
}

func (a *authority) blocked(key crypto.Signer) (blocked bool) {
	a.t.Helper()
	a.view(func(tx *store.Tx) (err error) {
		blocked, err = tx.KeyBlocked(spki(a.t, key))
		return err
	})
	return blocked
}

// smallRSA is a key that no policy accepts.
func smallRSA(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestR01R05AndR07RevocationByTheAccount(t *testing.T) {
	c := newAuthority(t, nil).register()
	for reason, want := range map[string]int{"": 0, "null": 0, "0": 0, "1": 1, "3": 3, "4": 4, "5": 5} {
		key := newKey(t)
		der, _ := c.issue(key, "a.test")
		r := c.post("/revoke-cert", revocation(der, reason)).want(http.StatusOK)
		if len(r.body) != 0 {
			t.Errorf("reason %q: body %q", reason, r.body)
		}
		if got := c.record(der); got.Revoked.IsZero() || got.Reason != want { // R07: none is none
			t.Errorf("reason %q: revoked %s for %d", reason, got.Revoked, got.Reason)
		}
		if c.blocked(key) {
			t.Errorf("reason %q: who has an account need not have the key", reason)
		}
		c.post("/revoke-cert", revocation(der, reason)).wantProblem(http.StatusBadRequest, acme.TypeAlreadyRevoked) // R05
	}
}

func TestR04OthersCannotRevoke(t *testing.T) {
	a := newAuthority(t, nil)
	owner, other := a.register(), a.register()
	der, _ := owner.issue(newKey(t), "a.test")
	before := a.dump()
	other.post("/revoke-cert", revocation(der, "1")).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
	a.stranger().post("/revoke-cert", revocation(der, "1")).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
	// The account's key, without the account, is any key.
	keyOnly := &client{authority: a, key: owner.key}
	keyOnly.post("/revoke-cert", revocation(der, "1")).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
	if a.dump() != before {
		t.Error("the database changed")
	}
}

// Who holds valid authorizations for all names of a certificate may revoke it (RFC 8555 §7.6).
func TestR02RevocationByWhoControlsTheNames(t *testing.T) {
	a := newAuthority(t, nil)
	owner, other := a.register(), a.register()
	der, _ := owner.issue(newKey(t), "a.test", "b.test")
	other.ready("a.test") // all but one
	other.order("b.test") // and that one only pending
	other.post("/revoke-cert", revocation(der, "")).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
	_, o := other.ready("b.test")
	other.post(o.Authorizations[0], `{"status":"deactivated"}`).want(http.StatusOK) // given up again
	other.post("/revoke-cert", revocation(der, "")).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
	other.ready("b.test")
	other.post("/revoke-cert", revocation(der, "")).want(http.StatusOK)
	if a.record(der).Revoked.IsZero() {
		t.Error("the certificate is not revoked")
	}
}

func TestR03AndR09RevocationByTheKey(t *testing.T) {
	c := newAuthority(t, nil).register()
	key := newKey(t)
	der, _ := c.issue(key, "a.test")
	sibling, _ := c.issue(key, "b.test")
	holder := &client{authority: c.authority, key: key}
	holder.post("/revoke-cert", revocation(sibling, "4")).want(http.StatusOK)
	if c.blocked(key) {
		t.Error("a superseded certificate blocks its key")
	}
	holder.post("/revoke-cert", revocation(der, "1")).want(http.StatusOK)
	if got := c.record(der); got.Revoked.IsZero() || got.Reason != rules.KeyCompromise || !c.blocked(key) {
		t.Errorf("revoked %s for %d, key blocked: %t", got.Revoked, got.Reason, c.blocked(key))
	}
	_, o := c.ready("c.test")
	c.post(o.Finalize, csr(t, key, "c.test")).wantProblem(http.StatusBadRequest, acme.TypeBadCSR)
	holder.post("/new-account", `{"termsOfServiceAgreed":true}`).wantProblem(http.StatusBadRequest, acme.TypeBadPublicKey)
	// R05: the one refinement. Later proof of compromise upgrades the reason.
	holder.post("/revoke-cert", revocation(sibling, "1")).want(http.StatusOK)
	if got := c.record(sibling).Reason; got != rules.KeyCompromise {
		t.Errorf("the sibling's reason is %d", got)
	}
	holder.post("/revoke-cert", revocation(sibling, "1")).wantProblem(http.StatusBadRequest, acme.TypeAlreadyRevoked)
}

func TestR09ProofCountsAfterTheAccountsWord(t *testing.T) {
	c := newAuthority(t, nil).register()
	key := newKey(t)
	der, _ := c.issue(key, "a.test")
	c.post("/revoke-cert", revocation(der, "1")).want(http.StatusOK)
	holder := &client{authority: c.authority, key: key}
	holder.post("/revoke-cert", revocation(der, "4")).wantProblem(http.StatusBadRequest, acme.TypeAlreadyRevoked)
	if c.blocked(key) {
		t.Error("the key is blocked, though nobody who has it said so")
	}
	holder.post("/revoke-cert", revocation(der, "1")).wantProblem(http.StatusBadRequest, acme.TypeAlreadyRevoked)
	if !c.blocked(key) {
		t.Error("the key is not blocked")
	}
}

func TestR06Reasons(t *testing.T) {
	c := newAuthority(t, nil).register()
	key := newKey(t)
	der, _ := c.issue(key, "a.test")
	holder := &client{authority: c.authority, key: key}
	before := c.dump()
	for _, reason := range []string{"2", "6", "7", "8", "9", "10", "11", "-1", `"1"`, "1.5", "1e99", "99999999999999999999", "[]", "{}", "true"} {
		for _, who := range []*client{c, holder} {
			t.Log(reason)
			who.post("/revoke-cert", revocation(der, reason)).wantProblem(http.StatusBadRequest, acme.TypeBadRevocationReason)
		}
	}
	if c.dump() != before {
		t.Error("the database changed")
	}
}

func TestR08CertificatesThatAreNotOurs(t *testing.T) {
	c := newAuthority(t, nil).register()
	key := newKey(t)
	der, _ := c.issue(key, "a.test")
	changed := append([]byte(nil), der...)
	changed[len(changed)-1] ^= 1
	foreign, _ := newAuthority(t, nil).register().issue(key, "a.test")
	before := c.dump()
	for name, test := range map[string]struct {
		payload string
		status  int
	}{
		"foreign":           {revocation(foreign, ""), http.StatusNotFound},
		"the issuer's own":  {revocation(c.worker.issuer.Raw, ""), http.StatusNotFound},
		"another signature": {revocation(changed, ""), http.StatusNotFound},
		"trailing data":     {revocation(append(der[:len(der):len(der)], 0), ""), http.StatusBadRequest},
		"truncated":         {revocation(der[:len(der)-1], ""), http.StatusBadRequest},
		"no certificate":    {`{}`, http.StatusBadRequest},
		"of another type":   {`{"certificate":[]}`, http.StatusBadRequest},
		"padded":            {`{"certificate":"AA=="}`, http.StatusBadRequest},
		"PEM":               {revocation([]byte("-----BEGIN CERTIFICATE-----"), ""), http.StatusBadRequest},
	} {
		t.Log(name)
		c.post("/revoke-cert", test.payload).wantProblem(test.status, acme.TypeMalformed)
	}
	if c.dump() != before {
		t.Error("the database changed")
	}
}

func TestR08CertificatesThatWereNotRecorded(t *testing.T) {
	c := newAuthority(t, nil).register()
	der, _ := c.issue(newKey(t), "a.test")
	issued := c.record(der)
	for _, state := range []rules.State{rules.Reserved, rules.Abandoned} {
		// A signature over the serial may exist, but none that was handed out.
		unfinished := issued
		unfinished.State, unfinished.DER, unfinished.Order = state, nil, string(state)
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(len(state))), NotAfter: issued.NotAfter}
		unfinished.Serial = fmt.Sprintf("%02x", len(state))
		signature, err := x509.CreateCertificate(rand.Reader, template, c.worker.issuer, c.key.Public(), c.worker.key)
		if err != nil {
			t.Fatal(err)
		}
		c.update(func(tx *store.Tx) error { return tx.InsertCertificate(unfinished) })
		c.post("/revoke-cert", revocation(signature, "")).wantProblem(http.StatusNotFound, acme.TypeMalformed)
	}
	// What has expired is on no CRL any more.
	later := issued
	later.Order, later.NotAfter = "later", time.Now().Add(-time.Minute)
	template := &x509.Certificate{SerialNumber: big.NewInt(77), NotAfter: later.NotAfter}
	var err error
	if later.DER, err = x509.CreateCertificate(rand.Reader, template, c.worker.issuer, newKey(t).Public(), c.worker.key); err != nil {
		t.Fatal(err)
	}
	later.Serial = "4d"
	c.update(func(tx *store.Tx) error { return tx.InsertCertificate(later) })
	c.post("/revoke-cert", revocation(later.DER, "")).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
}

// Who proves that a key is compromised has all of its certificates revoked, whosever they are, however many there are.
func TestR09SiblingsAreRevoked(t *testing.T) {
	a := newAuthority(t, nil)
	c, other := a.register(), a.register()
	key, unrelated := newKey(t), newKey(t)
	der, _ := c.issue(key, "a.test")
	sibling, _ := other.issue(key, "b.test")
	apart, _ := other.issue(unrelated, "c.test")
	issued := a.record(der)
	const many = 450
	a.update(func(tx *store.Tx) error {
		for i := range many {
			copied := issued
			copied.Serial, copied.Order = fmt.Sprintf("%08x", i), fmt.Sprint("order-", i)
			if i == 0 { // expired: it stays as it is
				copied.NotAfter = tx.Now.Add(-time.Minute)
			}
			if err := tx.InsertCertificate(copied); err != nil {
				return err
			}
		}
		return nil
	})
	c.post("/revoke-cert", revocation(der, "1")).want(http.StatusOK) // the account's word proves nothing
	if !a.record(sibling).Revoked.IsZero() {
		t.Fatal("the sibling was revoked on the account's word")
	}
	holder := &client{authority: a, key: key}
	holder.post("/revoke-cert", revocation(der, "1")).wantProblem(http.StatusBadRequest, acme.TypeAlreadyRevoked)
	if got := a.record(sibling); got.Revoked.IsZero() || got.Reason != rules.KeyCompromise {
		t.Errorf("the sibling is revoked %s for %d", got.Revoked, got.Reason)
	}
	if !a.record(apart).Revoked.IsZero() {
		t.Error("a certificate of another key is revoked")
	}
	revoked := 0
	a.view(func(tx *store.Tx) error {
		revoked = 0
		for i := range many {
			found, err := tx.Certificate(fmt.Sprintf("%08x", i))
			if err != nil {
				return err
			}
			if !found.Revoked.IsZero() {
				revoked++
			}
		}
		return nil
	})
	if revoked != many-1 {
		t.Errorf("%d of %d siblings are revoked", revoked, many-1)
	}
}
