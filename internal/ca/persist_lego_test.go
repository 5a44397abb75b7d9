package ca_test

import (
	"crypto"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-acme/lego/v5/acme"
	"github.com/go-acme/lego/v5/certcrypto"
	"github.com/go-acme/lego/v5/certificate"
	"github.com/go-acme/lego/v5/challenge/dnspersist01"
	"github.com/go-acme/lego/v5/lego"
	"github.com/go-acme/lego/v5/registration"

	own "github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/catest"
)

// legoUser is an account in lego's own terms.
type legoUser struct {
	key     crypto.Signer
	account *acme.ExtendedAccount
}

func (u *legoUser) GetEmail() string                       { return "" }
func (u *legoUser) GetRegistration() *acme.ExtendedAccount { return u.account }
func (u *legoUser) GetPrivateKey() crypto.Signer           { return u.key }

// TestDNSPersist01ByLego has somebody else's client find and use a record, in the draft that it speaks: lego version 5,
// unmodified. It refuses challenges and records that are not as it reads the draft.
func TestDNSPersist01ByLego(t *testing.T) {
	p := startPersist(t, own.PersistDraft01)
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Page().Root.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LEGO_CA_CERTIFICATES", root)
	user := &legoUser{key: catest.NewKey(t)}
	config := lego.NewConfig(user)
	config.CADirURL = p.Page().Directory
	client, err := lego.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	if user.account, err = client.Registration.Register(p.ctx, registration.RegisterOptions{TermsOfServiceAgreed: true}); err != nil {
		t.Fatal(err)
	}
	p.persist("a.test", own.PersistRecord{Issuer: "authority.example", AccountURI: user.account.Location, Wildcard: true})
	before := dnspersist01.DefaultClient()
	dnspersist01.SetDefaultClient(dnspersist01.NewClient(&dnspersist01.Options{RecursiveNameservers: []string{p.zone.address}}))
	t.Cleanup(func() { dnspersist01.SetDefaultClient(before) })
	if err := client.Challenge.SetDNSPersist01(dnspersist01.DisableAuthoritativeNssPropagationRequirement()); err != nil {
		t.Fatal(err)
	}
	got, err := client.Certificate.Obtain(p.ctx, certificate.ObtainRequest{Domains: []string{"*.a.test", "a.test"}, KeyType: certcrypto.EC256, Bundle: true})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := certcrypto.ParsePEMCertificate(got.Certificate)
	if err != nil || leaf.VerifyHostname("x.a.test") != nil || leaf.VerifyHostname("a.test") != nil {
		t.Errorf("the certificate is for %v: %v", leaf.DNSNames, err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	catest.CheckCA(t, p.Dir, leaf)
}
