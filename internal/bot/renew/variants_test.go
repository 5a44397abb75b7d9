package renew_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// TestSubsetGivesUpNamesWithoutProof has one of three names never be answered.
func TestSubsetGivesUpNamesWithoutProof(t *testing.T) {
	w := newWorld(t, "PEBBLE_AUTHZREUSE=0")
	solver := w.solver(t)
	o := func() *renew.Obtainer {
		return renew.NewObtainer(renew.ObtainConfig{
			Client: w.client, Server: w.pebble.Directory, Solver: &forgetful{Solver: solver, name: "b.example"}, Jobs: renew.OpenJobs(w.jobs),
		})
	}
	asked := want(t, renew.KeySpec{}, "a.example", "b.example", "c.example")
	var refused *renew.AuthorizationError
	if _, err := o().Obtain(t.Context(), asked, nil); !errors.As(err, &refused) {
		t.Fatalf("without Subset: %v", err)
	}
	asked.Subset = true
	issued, err := o().Obtain(t.Context(), asked, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := issued.Chain.Certificates[0].DNSNames; !slices.Equal(got, []string{"a.example", "c.example"}) {
		t.Errorf("the certificate is for %v", got)
	}
	// A run after a crash asks for all names, and is given the same certificate.
	orders := w.wire.count("/order-plz")
	again, err := o().Obtain(t.Context(), asked, nil)
	if err != nil || !again.Chain.Certificates[0].Equal(issued.Chain.Certificates[0]) || w.wire.count("/order-plz") != orders {
		t.Errorf("after a crash: another order, or %v", err)
	}
	only := want(t, renew.KeySpec{}, "b.example")
	only.Subset = true
	if _, err := o().Obtain(t.Context(), only, nil); !errors.As(err, &refused) {
		t.Errorf("no name is left: %v", err)
	}
}

// TestSubsetGivesUpRefusedNames is about names that the CA does not take into an order.
func TestSubsetGivesUpRefusedNames(t *testing.T) {
	w := newWorld(t)
	asked := want(t, renew.KeySpec{}, "a.example", "blocked-domain.example")
	if _, err := w.obtainer(t).Obtain(t.Context(), asked, nil); err == nil {
		t.Fatal("Pebble's blocked name was taken")
	}
	asked.Subset = true
	issued, err := w.obtainer(t).Obtain(t.Context(), asked, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := issued.Chain.Certificates[0].DNSNames; !slices.Equal(got, []string{"a.example"}) {
		t.Errorf("the certificate is for %v", got)
	}
}

// forgetful shows nothing for one name.
type forgetful struct {
	renew.Solver
	name string
}

func (f *forgetful) Present(ctx context.Context, c renew.Challenge) error {
	if c.Identifier.Value == f.name {
		return nil
	}
	return f.Solver.Present(ctx, c)
}

// makeCSR makes a request the way a user's own tool would.
func makeCSR(t *testing.T, template *x509.CertificateRequest) (der []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err = x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

func TestCSROfSomebodyElse(t *testing.T) {
	w := newWorld(t)
	der, key := makeCSR(t, &x509.CertificateRequest{DNSNames: []string{"b.example", "a.example"}})
	der, names, err := renew.ParseCSR(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	if err != nil || len(names) != 2 || names[0].Value != "b.example" {
		t.Fatalf("%v, %v", names, err)
	}
	issued, err := w.obtainer(t).Obtain(t.Context(), renew.Want{Lineage: "csr", Identifiers: names, CSR: der}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !key.PublicKey.Equal(issued.Chain.Certificates[0].PublicKey) || issued.KeyPEM != nil {
		t.Error("the certificate has another key")
	}
	orders := w.wire.count("/order-plz")
	again, err := w.obtainer(t).Obtain(t.Context(), renew.Want{Lineage: "csr", Identifiers: names, CSR: der}, nil)
	if err != nil || !again.Chain.Certificates[0].Equal(issued.Chain.Certificates[0]) || w.wire.count("/order-plz") != orders {
		t.Errorf("after a crash: another order, or %v", err)
	}
}

func TestParseCSRSaysWhatIsWrong(t *testing.T) {
	none, _ := makeCSR(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "a.example"}})
	mail, _ := makeCSR(t, &x509.CertificateRequest{DNSNames: []string{"a.example"}, EmailAddresses: []string{"a@a.example"}})
	odd, _ := makeCSR(t, &x509.CertificateRequest{DNSNames: []string{"a..example"}})
	good, _ := makeCSR(t, &x509.CertificateRequest{DNSNames: []string{"a.example"}})
	spoilt := slices.Clone(good)
	spoilt[len(spoilt)-1] ^= 1
	for name, c := range map[string]struct {
		text []byte
		says string
	}{
		"empty":           {nil, "no certificate request"},
		"without names":   {none, "no subject alternative names"},
		"with an address": {mail, "e-mail"},
		"no name":         {odd, "a name of the certificate request"},
		"spoilt":          {spoilt, "signature"},
		"a key":           {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}}), "private key"},
	} {
		if _, _, err := renew.ParseCSR(c.text); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	both, _ := makeCSR(t, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "B.example"}, DNSNames: []string{"a.example"}, IPAddresses: []net.IP{net.ParseIP("192.0.2.1")},
	})
	_, names, err := renew.ParseCSR(both)
	if want := []acme.Identifier{{Type: acme.DNS, Value: "a.example"}, {Type: acme.IP, Value: "192.0.2.1"}, {Type: acme.DNS, Value: "b.example"}}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%v, %v", names, err)
	}
}

func TestReuseOfAKey(t *testing.T) {
	w := newWorld(t)
	first, err := w.obtainer(t).Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.obtainer(t).Done("a.example"); err != nil {
		t.Fatal(err)
	}
	again := want(t, renew.KeySpec{}, "a.example")
	again.Reuse = first.KeyPEM
	second, err := w.obtainer(t).Obtain(t.Context(), again, first.Chain.Certificates[0])
	if err != nil {
		t.Fatal(err)
	}
	if string(second.KeyPEM) != string(first.KeyPEM) || second.Chain.Certificates[0].Equal(first.Chain.Certificates[0]) {
		t.Error("another key, or the same certificate")
	}
	job := w.job(t)
	if job.LedTo(first.Chain.Certificates[0]) || !job.LedTo(second.Chain.Certificates[0]) {
		t.Error("a certificate from before counts as what the job led to")
	}
	third, err := w.obtainer(t).Obtain(t.Context(), again, first.Chain.Certificates[0])
	if err != nil || !third.Chain.Certificates[0].Equal(second.Chain.Certificates[0]) {
		t.Errorf("after a crash: another certificate, or %v", err)
	}
}

func TestMustStaple(t *testing.T) {
	w := newWorld(t)
	asked := want(t, renew.KeySpec{}, "a.example")
	asked.MustStaple = true
	issued, err := w.obtainer(t).Obtain(t.Context(), asked, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(issued.Chain.Certificates[0].Extensions, func(e pkix.Extension) bool { return e.Id.String() == "1.3.6.1.5.5.7.1.24" }) {
		t.Error("the certificate does not say that servers staple (RFC 7633)")
	}
}

func TestFreshProofs(t *testing.T) {
	w := newWorld(t, "PEBBLE_AUTHZREUSE=100")
	if _, err := w.obtainer(t).Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), nil); err != nil {
		t.Fatal(err)
	}
	if err := w.obtainer(t).Done("a.example"); err != nil {
		t.Fatal(err)
	}
	o := renew.NewObtainer(renew.ObtainConfig{
		Client: w.client, Server: w.pebble.Directory, Solver: w.solver(t), Jobs: renew.NoJobs(), FreshProofs: true,
	})
	proofs := w.wire.count("/chalZ/")
	if _, err := o.Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), nil); err != nil {
		t.Fatal(err)
	}
	if w.wire.count("/chalZ/") == proofs {
		t.Error("the CA did not look again")
	}
	if job := w.job(t); job != nil {
		t.Error("a rehearsal left a job")
	}
}
