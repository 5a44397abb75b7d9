package acme_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

func names(values ...string) []acme.Identifier {
	var ids []acme.Identifier
	for _, value := range values {
		ids = append(ids, acme.IdentifierFor(value))
	}
	return ids
}

func TestNewOrderRefusesAnOrderForOtherNames(t *testing.T) {
	s := newServer(t)
	s.answer["/orders"] = func(w http.ResponseWriter, _ *acme.JWS) {
		w.Header().Set("Location", host+"/order/1")
		sendJSON(w, 201, acme.Order{Status: acme.StatusPending, Identifiers: names("b.test", "a.test")})
	}
	client := s.client(t)
	order, err := client.NewOrder(context.Background(), acme.NewOrder{Identifiers: names("a.test", "b.test")})
	if err != nil || order.URL != host+"/order/1" {
		t.Fatalf("%+v, %v", order, err)
	}
	if _, err := client.NewOrder(context.Background(), acme.NewOrder{Identifiers: names("a.test")}); err == nil {
		t.Error("an order for another name was accepted")
	}
}

func TestManyMoreAuthorizationsThanNamesAreRefused(t *testing.T) {
	s := newServer(t)
	order := acme.Order{Status: acme.StatusPending, Identifiers: names("a.test"), Authorizations: []string{host + "/1", host + "/2", host + "/3"}}
	reply := func(w http.ResponseWriter, _ *acme.JWS) {
		w.Header().Set("Location", host+"/order/1")
		sendJSON(w, 201, order)
	}
	s.answer["/orders"], s.answer["/order/1"] = reply, reply
	if _, err := s.client(t).NewOrder(t.Context(), acme.NewOrder{Identifiers: names("a.test")}); !errors.Is(err, acme.ErrNotRequested) {
		t.Errorf("NewOrder: %v", err)
	}
	if _, err := s.client(t).Order(t.Context(), host+"/order/1"); !errors.Is(err, acme.ErrNotRequested) {
		t.Errorf("Order: %v", err)
	}
}

func TestC06ChangedOrderIsNoticed(t *testing.T) {
	s := newServer(t)
	before := &acme.Order{URL: host + "/order/1", Finalize: host + "/finalize", Identifiers: names("a.test"), Authorizations: []string{"1"}}
	for _, after := range []acme.Order{
		{Status: acme.StatusReady, Identifiers: names("a.test", "evil.test"), Authorizations: []string{"1"}},
		{Status: acme.StatusReady, Identifiers: names("a.test"), Authorizations: []string{"2"}},
	} {
		reply := func(w http.ResponseWriter, _ *acme.JWS) { sendJSON(w, 200, after) }
		s.answer["/order/1"], s.answer["/finalize"] = reply, reply
		if _, err := s.client(t).WaitOrder(context.Background(), before, acme.StatusReady); !errors.Is(err, acme.ErrOrderChanged) {
			t.Errorf("WaitOrder: %v", err)
		}
		if _, err := s.client(t).Finalize(context.Background(), before, nil); !errors.Is(err, acme.ErrOrderChanged) {
			t.Errorf("Finalize: %v", err)
		}
	}
}

// wait polls an authorization whose answers come one after the other, the last for ever,
// and returns what came of it and how long it took.
func wait(t *testing.T, limit time.Duration, answers ...func(http.ResponseWriter, *acme.JWS)) (*acme.Authorization, time.Duration, int, error) {
	t.Helper()
	s, asked := newServer(t), 0
	s.answer["/authz"] = func(w http.ResponseWriter, j *acme.JWS) {
		answers[min(asked, len(answers)-1)](w, j)
		asked++
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	start := time.Now()
	authorization, err := s.client(t).WaitAuthorization(ctx, host+"/authz")
	return authorization, time.Since(start), asked, err
}

func authz(status acme.Status, retryAfter string) func(http.ResponseWriter, *acme.JWS) {
	return func(w http.ResponseWriter, _ *acme.JWS) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		sendJSON(w, 200, acme.Authorization{Status: status})
	}
}

func unavailable(w http.ResponseWriter, _ *acme.JWS) {
	w.Header().Set("Retry-After", "20")
	w.WriteHeader(503)
}

func TestC07AndC09Polling(t *testing.T) {
	pending, valid := authz(acme.StatusPending, ""), authz(acme.StatusValid, "")
	for name, c := range map[string]struct {
		answers []func(http.ResponseWriter, *acme.JWS)
		took    time.Duration
	}{
		"at once":                   {[]func(http.ResponseWriter, *acme.JWS){valid}, 0},
		"backoff":                   {[]func(http.ResponseWriter, *acme.JWS){pending, pending, pending, valid}, 1750 * time.Millisecond},
		"backoff has a ceiling":     {[]func(http.ResponseWriter, *acme.JWS){pending, pending, pending, pending, pending, pending, pending, pending, valid}, 35750 * time.Millisecond},
		"Retry-After":               {[]func(http.ResponseWriter, *acme.JWS){authz(acme.StatusPending, "5"), authz(acme.StatusProcessing, "5"), valid}, 10 * time.Second},
		"Retry-After of 0":          {[]func(http.ResponseWriter, *acme.JWS){authz(acme.StatusPending, "0"), authz(acme.StatusPending, "0"), authz(acme.StatusPending, "0"), valid}, 1750 * time.Millisecond},
		"503 is looked past":        {[]func(http.ResponseWriter, *acme.JWS){unavailable, valid}, 20 * time.Second},
		"invalid is an answer, too": {[]func(http.ResponseWriter, *acme.JWS){authz(acme.StatusInvalid, "")}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				authorization, took, asked, err := wait(t, time.Minute, c.answers...)
				if err != nil || authorization.Status == acme.StatusPending {
					t.Fatalf("%+v, %v", authorization, err)
				}
				if took != c.took || asked != len(c.answers) {
					t.Errorf("took %s and %d requests, want %s and %d", took, asked, c.took, len(c.answers))
				}
			})
		})
	}
}

func TestFinalizeSaysWhenToLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		order := acme.Order{URL: host + "/order/1", Finalize: host + "/finalize", Status: acme.StatusReady}
		start := time.Now()
		s.answer["/finalize"] = func(w http.ResponseWriter, _ *acme.JWS) {
			w.Header().Set("Retry-After", "7")
			sendJSON(w, 200, acme.Order{Status: acme.StatusProcessing})
		}
		s.answer["/order/1"] = func(w http.ResponseWriter, _ *acme.JWS) {
			if waited := time.Since(start); waited != 7*time.Second {
				t.Errorf("looked after %s", waited)
			}
			sendJSON(w, 200, acme.Order{Status: acme.StatusValid})
		}
		client := s.client(t)
		processing, err := client.Finalize(t.Context(), &order, nil)
		if err != nil {
			t.Fatal(err)
		}
		if valid, err := client.WaitOrder(t.Context(), processing, acme.StatusValid); err != nil || valid.Status != acme.StatusValid {
			t.Error(valid, err)
		}
	})
}

func TestPollingEnds(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter, *acme.JWS){
		"pending for ever":      authz(acme.StatusPending, ""),
		"Retry-After of a year": authz(acme.StatusPending, "31536000"),
		"unavailable for ever":  unavailable,
		"floods":                authz(acme.StatusPending, "0"),
		"refused": func(w http.ResponseWriter, _ *acme.JWS) {
			sendProblem(w, acme.Problemf(acme.TypeUnauthorized, "not yours"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, took, asked, err := wait(t, time.Minute, answer)
				if err == nil {
					t.Fatal("no error")
				}
				if took > time.Minute || asked > 601 {
					t.Errorf("took %s and %d requests", took, asked)
				}
			})
		})
	}
}

// issuer is a CA for tests: a root and an intermediate.
type issuer struct {
	root, intermediate []byte
	key                *ecdsa.PrivateKey
	parent             *x509.Certificate
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	rootKey, key := newKey(t), newKey(t)
	template := func(name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
	}
	root, intermediate := template("root"), template("intermediate")
	rootDER := sign(t, root, root, rootKey.Public(), rootKey)
	return &issuer{root: rootDER, intermediate: sign(t, intermediate, root, key.Public(), rootKey), key: key, parent: intermediate}
}

func sign(t *testing.T, template, parent *x509.Certificate, public crypto.PublicKey, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (i *issuer) leaf(t *testing.T, public crypto.PublicKey, change func(*x509.Certificate)) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"a.test", "B.test"}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 7)},
	}
	if change != nil {
		change(template)
	}
	return sign(t, template, i.parent, public, i.key)
}

func encode(blocks ...any) string {
	var b strings.Builder
	for _, block := range blocks {
		switch block := block.(type) {
		case []byte:
			b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block}))
		case string:
			b.WriteString(block)
		}
	}
	return b.String()
}

func TestF15CertificateIsCheckedBeforeItIsBelieved(t *testing.T) {
	ca, key := newIssuer(t), newKey(t)
	good := ca.leaf(t, key.Public(), nil)
	secret := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("x")}))
	for name, c := range map[string]struct{ media, body, want string }{
		"good":            {acme.MediaChain, encode(good, ca.intermediate), ""},
		"with its root":   {acme.MediaChain, encode(good, "\r\n", ca.intermediate, ca.root), ""},
		"leaf alone":      {acme.MediaChain, encode(good), ""},
		"parameter":       {acme.MediaChain + "; charset=utf-8", encode(good), ""},
		"wrong type":      {"application/x-pem-file", encode(good), "of type"},
		"empty":           {acme.MediaChain, "\n", "no certificate"},
		"a private key":   {acme.MediaChain, encode(good, secret), "other than a certificate"},
		"key first":       {acme.MediaChain, encode(secret, good), "other than a certificate"},
		"text":            {acme.MediaChain, encode("Subject: x\n", good), "other than a certificate"},
		"headers":         {acme.MediaChain, strings.Replace(encode(good), "-\n", "-\nA: b\n\n", 1), "damaged"},
		"cut off":         {acme.MediaChain, encode(good)[:200], "damaged"},
		"damaged first":   {acme.MediaChain, "-----BEGIN CERTIFICATE-----\n#\n" + encode(good), "damaged"},
		"not DER":         {acme.MediaChain, encode([]byte("x")), "x509"},
		"wrong order":     {acme.MediaChain, encode(ca.intermediate, good), "does not certify"},
		"gap":             {acme.MediaChain, encode(good, ca.root), "does not certify"},
		"twice":           {acme.MediaChain, encode(good, good), "does not certify"},
		"endless":         {acme.MediaChain, encode(good, ca.intermediate, strings.Repeat(encode(ca.root), 20)), "more than"},
		"other CA":        {acme.MediaChain, encode(good, newIssuer(t).intermediate), "does not certify"},
		"another key":     {acme.MediaChain, encode(ca.leaf(t, newKey(t).Public(), nil)), "another key"},
		"a name too many": {acme.MediaChain, encode(ca.leaf(t, key.Public(), func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "c.test") })), "it is for"},
		"a name missing":  {acme.MediaChain, encode(ca.leaf(t, key.Public(), func(c *x509.Certificate) { c.IPAddresses = nil })), "it is for"},
		"an address":      {acme.MediaChain, encode(ca.leaf(t, key.Public(), func(c *x509.Certificate) { c.EmailAddresses = []string{"a@a.test"} })), "e-mail"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.answer["/cert"] = func(w http.ResponseWriter, _ *acme.JWS) {
				w.Header().Set("Content-Type", c.media)
				w.Header().Add("Link", `<`+host+`/directory>;rel="index", </cert/1>;rel="alternate"`)
				w.Header().Add("Link", `<http://ca.test/cert/2>;rel="alternate"`)
				w.Header().Add("Link", `<https://ca.test/cert/3>; title="a"; rel=alternate`)
				_, _ = io.WriteString(w, c.body)
			}
			want := acme.CertificateRequest{PublicKey: key.Public(), Identifiers: names("b.test", "a.test", "192.0.2.7")}
			chain, err := s.client(t).Certificate(context.Background(), host+"/cert", want)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(chain.Alternates, " "); got != host+"/cert/1 "+host+"/cert/3" {
					t.Errorf("alternates: %s", got)
				}
				if text := string(chain.PEM(0)); text != strings.ReplaceAll(c.body, "\r\n", "") {
					t.Errorf("PEM differs:\n%s", text)
				}
			} else if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestRevokeByAccountAndByCertificateKey(t *testing.T) {
	ca, key := newIssuer(t), newKey(t)
	certificate, err := x509.ParseCertificate(ca.leaf(t, key.Public(), nil))
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t)
	var seen []string
	s.answer["/revoke"] = func(w http.ResponseWriter, j *acme.JWS) {
		by := j.Header.KeyID
		if j.Header.Key != nil && key.PublicKey.Equal(j.Header.Key.Public()) && j.Verify(j.Header.Key) == nil {
			by = "certificate"
		}
		seen = append(seen, by)
	}
	reason := 4
	if err := s.client(t).Revoke(context.Background(), certificate, &reason, nil); err != nil {
		t.Error(err)
	}
	if err := s.client(t).Revoke(context.Background(), certificate, nil, key); err != nil {
		t.Error(err)
	}
	if got := strings.Join(seen, " "); got != host+"/account/1 certificate" {
		t.Errorf("signed by %s", got)
	}
}

func TestReadsAreRetriedAndWritesAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		failures := 2
		s.answer["/order/1"] = func(w http.ResponseWriter, _ *acme.JWS) {
			if failures--; failures >= 0 {
				w.WriteHeader(502)
				return
			}
			sendJSON(w, 200, acme.Order{Status: acme.StatusReady})
		}
		s.answer["/orders"] = func(w http.ResponseWriter, _ *acme.JWS) { w.WriteHeader(502) }
		if _, err := s.client(t).Order(t.Context(), host+"/order/1"); err != nil {
			t.Error(err)
		}
		if _, err := s.client(t).NewOrder(t.Context(), acme.NewOrder{}); problemOf(t, err).Status != 502 {
			t.Error(err)
		}
		if got := strings.Count(s.requests(), "POST /orders"); got != 1 {
			t.Errorf("an order was placed %d times", got)
		}
	})
}

func FuzzParseChain(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n"))
	f.Add([]byte(" \n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		chain, err := acme.ParseChain(text)
		if (err == nil) != (len(chain) > 0) {
			t.Errorf("%d certificates, error %v", len(chain), err)
		}
	})
}

// TestC08ChainIsChosenByItsIssuer: of the chain and its alternates the client takes the one that was asked for, if
// it is for the very same certificate and in order.
func TestC08ChainIsChosenByItsIssuer(t *testing.T) {
	first, key := newIssuer(t), newKey(t)
	leaf := first.leaf(t, key.Public(), nil)
	top, err := x509.ParseCertificate(first.root)
	if err != nil {
		t.Fatal(err)
	}
	middle, err := x509.ParseCertificate(first.intermediate)
	if err != nil {
		t.Fatal(err)
	}
	want := acme.CertificateRequest{PublicKey: key.Public(), Identifiers: names("b.test", "a.test", "192.0.2.7")}
	for name, c := range map[string]struct {
		issuer    string
		alternate string // what /cert/1 has
		chosen    int    // certificates in the chain
		found     bool
		err       string
	}{
		"the first":         {top.Subject.CommonName, "", 2, true, ""},
		"the other":         {middle.Subject.CommonName, encode(leaf), 1, true, ""},
		"neither":           {"Somebody Else", encode(leaf), 2, false, ""},
		"the wrong order":   {middle.Subject.CommonName, encode(first.intermediate, leaf), 2, false, "does not certify"},
		"another leaf":      {middle.Subject.CommonName, encode(first.leaf(t, key.Public(), nil)), 2, false, "another certificate"},
		"a leaf of another": {middle.Subject.CommonName, encode(first.leaf(t, newKey(t).Public(), nil)), 2, false, "another key"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			serve := func(body, link string) func(http.ResponseWriter, *acme.JWS) {
				return func(w http.ResponseWriter, _ *acme.JWS) {
					w.Header().Set("Content-Type", acme.MediaChain)
					w.Header().Set("Link", link)
					_, _ = io.WriteString(w, body)
				}
			}
			s.answer["/cert"] = serve(encode(leaf, first.intermediate), `</cert/1>;rel="alternate"`)
			s.answer["/cert/1"] = serve(c.alternate, `</cert>;rel="alternate"`)
			client := s.client(t)
			chain, err := client.Certificate(t.Context(), host+"/cert", want)
			if err != nil {
				t.Fatal(err)
			}
			chosen, found, err := client.Choose(t.Context(), chain, want, c.issuer)
			if len(chosen.Certificates) != c.chosen || found != c.found {
				t.Errorf("chose %d certificates, found: %t", len(chosen.Certificates), found)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}
