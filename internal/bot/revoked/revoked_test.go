package revoked_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/cairn-ca/cairn/internal/bot/revoked"
)

// authority is a CA with its two services. Certificates with an odd serial number are revoked.
type authority struct {
	t           *testing.T
	certificate *x509.Certificate
	key         crypto.Signer
	server      *httptest.Server
	lists       int           // how often the list was fetched
	age         time.Duration // of what the services say
	signer      *authority    // who signs for them; nil is itself
	delegate    *delegate     // who signs OCSP answers for it; nil is nobody
}

// delegate is somebody with a certificate from an authority.
type delegate struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// appoint gives a certificate for a key of somebody else's, with the usages, until some time from now.
func (a *authority) appoint(until time.Duration, usages ...x509.ExtKeyUsage) *delegate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1000), ExtKeyUsage: usages, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(until)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return &delegate{certificate, key}
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.key = key
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	a.certificate = a.sign(template, template)
	a.server = httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(a.server.Close)
	return a
}

func (a *authority) sign(template, parent *x509.Certificate) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, a.key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return certificate
}

// issue makes a certificate that names the paths of services, "" for none.
func (a *authority) issue(serial int64, ocspPath, crlPath string) revoked.Certificate {
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	if ocspPath != "" {
		template.OCSPServer = []string{a.server.URL + ocspPath}
	}
	if crlPath != "" {
		template.CRLDistributionPoints = []string{a.server.URL + crlPath}
	}
	return revoked.Certificate{Leaf: a.sign(template, a.certificate), Issuer: a.certificate}
}

func (a *authority) serve(w http.ResponseWriter, r *http.Request) {
	signer := a
	if a.signer != nil {
		signer = a.signer
	}
	from, until := time.Now().Add(-a.age-time.Minute), time.Now().Add(-a.age+time.Minute)
	text, _ := io.ReadAll(r.Body) // whole, so that the end of the connection is noticed
	switch r.URL.Path {
	case "/ocsp":
		question, err := ocsp.ParseRequest(text)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		template := ocsp.Response{SerialNumber: question.SerialNumber, ThisUpdate: from, NextUpdate: until, Status: ocsp.Good}
		if question.SerialNumber.Bit(0) == 1 {
			template.Status, template.RevokedAt = ocsp.Revoked, from
		}
		responder, key := signer.certificate, signer.key
		if d := a.delegate; d != nil {
			template.Certificate, responder, key = d.certificate, d.certificate, d.key
		}
		answer, err := ocsp.CreateResponse(signer.certificate, responder, template, key)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(answer)
	case "/crl":
		a.lists++
		list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: from, NextUpdate: until}
		for serial := int64(3); serial < 20; serial += 2 {
			list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(serial), RevocationTime: from})
		}
		der, err := x509.CreateRevocationList(rand.Reader, list, signer.certificate, signer.key)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(der)
	case "/endless":
		for block := bytes.Repeat([]byte("x"), 1<<16); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	case "/silent":
		<-r.Context().Done()
	default:
		http.NotFound(w, r)
	}
}

func TestCheck(t *testing.T) {
	ca := newAuthority(t)
	expired := ca.issue(5, "/ocsp", "")
	expired.Leaf.NotAfter = time.Now().Add(-time.Minute)
	list := []revoked.Certificate{
		ca.issue(2, "/ocsp", ""), ca.issue(3, "/ocsp", ""), // OCSP
		ca.issue(4, "", "/crl"), ca.issue(5, "", "/crl"), // lists
		ca.issue(7, "/nosuch", "/crl"),                  // the one, then the other
		ca.issue(9, "", ""), expired, {Leaf: list0(ca)}, // nobody to ask
		ca.issue(11, "/endless", "/nosuch"),
	}
	got := revoked.Check(t.Context(), revoked.Config{Lists: true}, list, time.Now())
	want := []revoked.Status{revoked.Good, revoked.Revoked, revoked.Good, revoked.Revoked, revoked.Revoked, revoked.Unknown, revoked.Unknown, revoked.Unknown, revoked.Unknown}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if ca.lists != 1 {
		t.Errorf("the list was fetched %d times", ca.lists)
	}
	if got := revoked.Check(t.Context(), revoked.Config{}, list[:4], time.Now()); !slices.Equal(got, []revoked.Status{revoked.Good, revoked.Revoked, revoked.Unknown, revoked.Unknown}) {
		t.Errorf("without lists: %v", got)
	}
}

func list0(ca *authority) *x509.Certificate { return ca.issue(3, "/ocsp", "").Leaf }

// TestLies is about answers that must not be believed.
func TestLies(t *testing.T) {
	for name, change := range map[string]func(*authority){
		"of last week":          func(a *authority) { a.age = 7 * 24 * time.Hour },
		"of next week":          func(a *authority) { a.age = -7 * 24 * time.Hour },
		"signed by another one": func(a *authority) { a.signer = newAuthority(t) },
	} {
		ca := newAuthority(t)
		change(ca)
		got := revoked.Check(t.Context(), revoked.Config{Lists: true}, []revoked.Certificate{ca.issue(2, "/ocsp", ""), ca.issue(3, "/ocsp", "/crl"), ca.issue(4, "", "/crl")}, time.Now())
		if !slices.Equal(got, []revoked.Status{revoked.Unknown, revoked.Unknown, revoked.Unknown}) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestDelegates is about answers that somebody else signs, with a certificate from the same CA (RFC 6960 §4.2.2.2).
func TestDelegates(t *testing.T) {
	for _, c := range []struct {
		name     string
		until    time.Duration
		usages   []x509.ExtKeyUsage
		believed bool
	}{
		{"for OCSP", time.Hour, []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, true},
		{"for OCSP, ended", -time.Hour, []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, false},
		{"a web server's", time.Hour, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, false},
		{"for nothing that it says", time.Hour, nil, false},
	} {
		ca := newAuthority(t)
		ca.delegate = ca.appoint(c.until, c.usages...)
		want := []revoked.Status{revoked.Unknown, revoked.Unknown}
		if c.believed {
			want = []revoked.Status{revoked.Good, revoked.Revoked}
		}
		if got := revoked.Check(t.Context(), revoked.Config{}, []revoked.Certificate{ca.issue(2, "/ocsp", ""), ca.issue(3, "/ocsp", "")}, time.Now()); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", c.name, got, want)
		}
	}
}

// TestSilence has a server that never answers.
func TestSilence(t *testing.T) {
	ca := newAuthority(t)
	list := []revoked.Certificate{ca.issue(2, "/silent", ""), ca.issue(3, "/ocsp", "")}
	start := time.Now()
	got := revoked.Check(t.Context(), revoked.Config{Limit: 300 * time.Millisecond}, list, time.Now())
	if !slices.Equal(got, []revoked.Status{revoked.Unknown, revoked.Revoked}) {
		t.Errorf("%v", got)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}
