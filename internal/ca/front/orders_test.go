package front_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

func TestO01ToO03AndO11Order(t *testing.T) {
	c := newAuthority(t, nil).register()
	r := c.post("/new-order", `{"identifiers":[{"type":"dns","value":"A.test"},{"type":"ip","value":"10.1.2.3"},{"type":"dns","value":"a.test"}]}`).want(http.StatusCreated)
	o := read[acme.Order](r)
	if o.Status != acme.StatusPending || o.Expires == nil || !o.Expires.After(time.Now()) || o.Expires.Nanosecond() != 0 ||
		o.Finalize != r.location()+"/finalize" || o.Certificate != "" || o.Error != nil || o.Profile != "classic" {
		t.Errorf("the order is %s", r.body)
	}
	// O11: what is the same name is one identifier.
	if !slices.Equal(o.Identifiers, identifiers("a.test", "10.1.2.3")) || len(o.Authorizations) != 2 {
		t.Errorf("the order is for %v with %d authorizations", o.Identifiers, len(o.Authorizations))
	}
	if again := c.fetch(r.location()).want(http.StatusOK); string(again.body) != string(r.body) {
		t.Errorf("later the order is %s", again.body)
	}
	c.post("/new-order", `{"identifiers":[{"type":"dns","value":"a.test"}],"profile":"none"}`).wantProblem(http.StatusBadRequest, acme.TypeInvalidProfile)
}

func TestE05EachIdentifierThatIsRefused(t *testing.T) {
	c := newAuthority(t, nil).register()
	r := c.post("/new-order", `{"identifiers":[{"type":"dns","value":"a.example"},{"type":"dns","value":"b.test"},{"type":"dns","value":"-"}]}`)
	problem := r.wantProblem(http.StatusBadRequest, acme.TypeCompound)
	if len(problem.Subproblems) != 2 || problem.Subproblems[0].Identifier.Value != "a.example" || problem.Subproblems[1].Identifier.Value != "-" {
		t.Errorf("subproblems in %s", r.body)
	}
}

func TestO06OrderIsReadyOnceAllIsProven(t *testing.T) {
	c := newAuthority(t, nil).register()
	url, o := c.order("a.test", "b.test")
	for i, want := range []acme.Status{acme.StatusPending, acme.StatusReady} {
		challenge := read[acme.Authorization](c.fetch(o.Authorizations[i])).Challenges[0]
		if got := read[acme.Challenge](c.post(challenge.URL, `{}`).want(http.StatusOK)).Status; got != acme.StatusValid {
			t.Errorf("challenge %d is %s", i, got)
		}
		if got := read[acme.Order](c.fetch(url)).Status; got != want {
			t.Errorf("after %d authorizations the order is %s, want %s", i+1, got, want)
		}
	}
}

func TestO06OrderFailsWithItsAuthorization(t *testing.T) {
	c := newAuthority(t, nil).register()
	c.worker.outcome = acme.Problemf(acme.TypeConnection, "nobody there")
	url, o := c.order("a.test")
	challenge := read[acme.Authorization](c.fetch(o.Authorizations[0])).Challenges[0]
	failed := read[acme.Challenge](c.post(challenge.URL, `{}`).want(http.StatusOK))
	if failed.Status != acme.StatusInvalid || failed.Error == nil || failed.Error.Type != acme.TypeConnection || failed.Validated != nil {
		t.Errorf("the challenge is %+v", failed)
	}
	o = read[acme.Order](c.fetch(url))
	if o.Status != acme.StatusInvalid || o.Error == nil || o.Error.Type != acme.TypeConnection {
		t.Errorf("the order is %+v", o)
	}
	c.post(o.Finalize, csr(t, newKey(t), "a.test")).wantProblem(http.StatusForbidden, acme.TypeOrderNotReady)
}

// expired saves an order whose time is over.
func (c *client) expired(name string) string {
	c.t.Helper()
	var id string
	c.update(func(tx *store.Tx) error {
		account, err := tx.AccountByKey(jwk(c.t, c.key).Thumbprint())
		if err != nil {
			return err
		}
		placed := placed(c.t, account, tx.Now.Add(-30*24*time.Hour), name)
		id = placed.Order.ID
		return tx.InsertOrder(placed.Order, placed.New)
	})
	return c.url + "/order/" + id
}

func TestO07ExpiredOrder(t *testing.T) {
	c := newAuthority(t, nil).register()
	url := c.expired("a.test")
	o := read[acme.Order](c.fetch(url).want(http.StatusOK))
	if o.Status != acme.StatusInvalid || o.Error == nil {
		t.Errorf("the order is %+v", o)
	}
	c.post(o.Finalize, csr(t, newKey(t), "a.test")).wantProblem(http.StatusForbidden, acme.TypeOrderNotReady)
	authz := read[acme.Authorization](c.fetch(o.Authorizations[0]).want(http.StatusOK))
	if authz.Status != acme.StatusExpired {
		t.Errorf("the authorization is %s", authz.Status)
	}
	c.post(authz.Challenges[0].URL, `{}`).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
	if c.worker.checked.Load() != 0 {
		t.Error("an expired authorization was validated")
	}
}

func TestO08Identifiers(t *testing.T) {
	c := newAuthority(t, nil).register()
	for payload, want := range map[string]struct {
		status int
		kind   acme.ProblemType
	}{
		`{"identifiers":[{"type":"email","value":"a@a.test"}]}`: {400, acme.TypeUnsupportedIdentifier},
		`{"identifiers":[{"type":"dns","value":"a.example"}]}`:  {403, acme.TypeRejectedIdentifier},
		`{"identifiers":[{"type":"dns","value":"*.example"}]}`:  {403, acme.TypeRejectedIdentifier},
		`{"identifiers":[{"type":"dns","value":"a..test"}]}`:    {400, acme.TypeMalformed},
		`{"identifiers":[]}`: {400, acme.TypeMalformed},
		`{"identifiers":[{"type":"dns","value":"xn--a.test"}]}`:     {400, acme.TypeMalformed},
		`{"identifiers":[{"type":"dns","value":"*.*.a.test"}]}`:     {400, acme.TypeMalformed},
		`{"identifiers":[{"type":"ip","value":"8.8.8.8"}]}`:         {403, acme.TypeRejectedIdentifier},
		`{"identifiers":[{"type":"dns","value":"10.1.2.3"}]}`:       {400, acme.TypeMalformed},
		`{"identifiers":[{"type":"ip","value":"::ffff:10.1.2.3"}]}`: {400, acme.TypeMalformed},
	} {
		t.Log(payload)
		c.post("/new-order", payload).wantProblem(want.status, want.kind)
	}
}

func TestF01FinalizeBeforeTheOrderIsReady(t *testing.T) {
	c := newAuthority(t, nil).register()
	_, o := c.order("a.test")
	c.post(o.Finalize, csr(t, newKey(t), "a.test")).wantProblem(http.StatusForbidden, acme.TypeOrderNotReady)
}

func TestF02ToF06RefusedCSRsLeaveTheOrderReady(t *testing.T) {
	c := newAuthority(t, nil).register()
	other := c.authority.register()
	orderURL, o := c.ready("a.test", "b.test")
	key := newKey(t)
	good := readCSRPayload(t, csr(t, key, "a.test", "b.test"))
	blocked := newKey(t)
	c.block(blocked)
	mail := &x509.CertificateRequest{DNSNames: []string{"a.test", "b.test"}, EmailAddresses: []string{"a@a.test"}}
	uri := &x509.CertificateRequest{DNSNames: []string{"a.test", "b.test"}, URIs: []*url.URL{{Scheme: "https", Host: "a.test"}}}
	for name, test := range map[string]struct {
		payload string
		kind    acme.ProblemType
	}{
		"no csr":              {`{}`, acme.TypeMalformed},
		"csr of another type": {`{"csr":1}`, acme.TypeMalformed},
		"padded":              {`{"csr":"AA=="}`, acme.TypeMalformed},
		"empty":               {`{"csr":""}`, acme.TypeMalformed},
		"PEM":                 {csrPayload(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: good})), acme.TypeBadCSR},
		"no CSR at all":       {csrPayload([]byte("hello")), acme.TypeBadCSR},
		"trailing data":       {csrPayload(append(bytes.Clone(good), 0)), acme.TypeBadCSR},
		"truncated":           {csrPayload(good[:len(good)-1]), acme.TypeBadCSR},
		"wrong signature":     {csrPayload(append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1)), acme.TypeBadCSR},
		"a name is missing":   {csr(t, key, "a.test"), acme.TypeBadCSR},
		"a name too many":     {csr(t, key, "a.test", "b.test", "c.test"), acme.TypeBadCSR},
		"other names":         {csr(t, key, "c.test", "d.test"), acme.TypeBadCSR},
		"no name":             {csr(t, key), acme.TypeBadCSR},
		"another CN":          {csrOf(t, key, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "c.test"}, DNSNames: []string{"a.test", "b.test"}}), acme.TypeBadCSR},
		"an address too many": {csrOf(t, key, &x509.CertificateRequest{DNSNames: []string{"a.test", "b.test"}, IPAddresses: []net.IP{{10, 0, 0, 1}}}), acme.TypeBadCSR},
		"an e-mail address":   {csrOf(t, key, mail), acme.TypeBadCSR},
		"a URI":               {csrOf(t, key, uri), acme.TypeBadCSR},
		"weak key":            {csr(t, smallRSA(t), "a.test", "b.test"), acme.TypeBadCSR},
		"own account's key":   {csr(t, c.key, "a.test", "b.test"), acme.TypeBadCSR},
		"another's key":       {csr(t, other.key, "a.test", "b.test"), acme.TypeBadCSR},
		"compromised key":     {csr(t, blocked, "a.test", "b.test"), acme.TypeBadCSR},
	} {
		t.Log(name)
		before := c.dump()
		c.post(o.Finalize, test.payload).wantProblem(http.StatusBadRequest, test.kind)
		if c.dump() != before {
			t.Error("the database changed")
		}
	}
	if got := read[acme.Order](c.fetch(orderURL)).Status; got != acme.StatusReady {
		t.Fatalf("the order is %s", got)
	}
	c.post(o.Finalize, csrPayload(good)).want(http.StatusOK)
}

func readCSRPayload(t *testing.T, payload string) []byte {
	t.Helper()
	finalize := read[acme.Finalize](&answer{t: t, body: []byte(payload)})
	der, problem := acme.DecodeBase64URL("csr", finalize.CSR)
	if problem != nil {
		t.Fatal(problem)
	}
	return der
}

func TestF03NamesMayBeSpeltInAnyWayThatMeansThem(t *testing.T) {
	c := newAuthority(t, nil).register()
	for _, template := range []*x509.CertificateRequest{
		{DNSNames: []string{"b.test", "A.test"}},
		{DNSNames: []string{"a.test", "b.test", "a.test"}},
		{Subject: pkix.Name{CommonName: "a.test"}, DNSNames: []string{"b.test"}},
		{Subject: pkix.Name{CommonName: "a.test", Organization: []string{"ignored"}}, DNSNames: []string{"a.test", "b.test"}},
	} {
		_, o := c.ready("a.test", "b.test")
		c.post(o.Finalize, csrOf(t, newKey(t), template)).want(http.StatusOK)
	}
	_, o := c.ready("10.1.2.3")
	c.post(o.Finalize, csrOf(t, newKey(t), &x509.CertificateRequest{IPAddresses: []net.IP{{10, 1, 2, 3}}})).want(http.StatusOK)
	_, o = c.ready("a.test")
	c.post(o.Finalize, csrOf(t, newKey(t), &x509.CertificateRequest{Subject: pkix.Name{CommonName: "a.test"}})).want(http.StatusOK)
}

func TestF09ExtensionsOfTheCSRAreNotRead(t *testing.T) {
	c := newAuthority(t, nil).register()
	_, o := c.ready("a.test")
	template := &x509.CertificateRequest{DNSNames: []string{"a.test"}, ExtraExtensions: []pkix.Extension{
		{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}}, // CA:TRUE
	}}
	o = read[acme.Order](c.post(o.Finalize, csrOf(t, newKey(t), template)).want(http.StatusOK))
	certificate, err := x509.ParseCertificate(decodePEM(t, c.fetch(o.Certificate).body)[0])
	if err != nil || certificate.IsCA {
		t.Errorf("the certificate: CA %v, error %v", certificate.IsCA, err)
	}
}

func TestF07ProcessingOrder(t *testing.T) {
	hold := make(chan struct{})
	a := newAuthority(t, func(c *front.Config) { c.FinalizeWait = time.Millisecond })
	c := a.register()
	url, o := c.ready("a.test")
	a.worker.hold = hold
	payload := csr(t, newKey(t), "a.test")
	for range 2 { // the second one changes nothing
		r := c.post(o.Finalize, payload).want(http.StatusOK)
		if got := read[acme.Order](r); got.Status != acme.StatusProcessing || r.Header.Get("Retry-After") == "" || r.location() != url || got.Certificate != "" {
			t.Errorf("%s with Location %q, Retry-After %q", r.body, r.location(), r.Header.Get("Retry-After"))
		}
	}
	if got := c.fetch(url).want(http.StatusOK).Header.Get("Retry-After"); got == "" {
		t.Error("a processing order without Retry-After")
	}
	c.fetch("/certificate"+strings.TrimPrefix(url, c.url+"/order")).wantProblem(http.StatusNotFound, acme.TypeMalformed)
	close(hold)
	a.worker.running.Wait()
	r := c.fetch(url).want(http.StatusOK)
	if got := read[acme.Order](r); got.Status != acme.StatusValid || got.Certificate == "" || r.Header.Get("Retry-After") != "" {
		t.Errorf("%s with Retry-After %q", r.body, r.Header.Get("Retry-After"))
	}
}

func TestF08RepeatedAndConcurrentFinalize(t *testing.T) {
	c := newAuthority(t, nil).register()
	url, o := c.ready("a.test")
	same, other := csr(t, newKey(t), "a.test"), csr(t, newKey(t), "a.test")
	var mu sync.Mutex
	statuses := map[int]int{}
	var group sync.WaitGroup
	for range 6 {
		for _, payload := range []string{same, other} {
			body := c.sign(o.Finalize, payload)
			group.Go(func() {
				r := c.send(c.relative(o.Finalize), body)
				mu.Lock()
				defer mu.Unlock()
				statuses[r.StatusCode]++
			})
		}
	}
	group.Wait()
	if statuses[http.StatusOK] != 6 || statuses[http.StatusForbidden] != 6 || c.worker.issued.Load() != 1 {
		t.Errorf("statuses %v, %d certificates", statuses, c.worker.issued.Load())
	}
	c.worker.running.Wait()
	first := c.fetch(url).body
	statuses = map[int]int{}
	for _, payload := range []string{same, other} {
		statuses[c.post(o.Finalize, payload).StatusCode]++
	}
	if statuses[http.StatusOK] != 1 || statuses[http.StatusForbidden] != 1 || string(c.fetch(url).body) != string(first) {
		t.Errorf("afterwards: statuses %v, order %s, then %s", statuses, first, c.fetch(url).body)
	}
}

func decodePEM(t testing.TB, data []byte) (ders [][]byte) {
	t.Helper()
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return ders
		}
		ders, data = append(ders, block.Bytes), rest
	}
}

func TestF10F11AndF14Certificate(t *testing.T) {
	c := newAuthority(t, nil).register()
	key := newKey(t)
	der, url := c.issue(key, "a.test")
	o := read[acme.Order](c.fetch(url))
	r := c.fetch(o.Certificate).want(http.StatusOK)
	if r.Header.Get("Content-Type") != acme.MediaChain {
		t.Errorf("Content-Type %q", r.Header.Get("Content-Type"))
	}
	chain := decodePEM(t, r.body)
	if len(chain) != 2 {
		t.Fatalf("%d certificates", len(chain))
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := x509.ParseCertificate(chain[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := leaf.CheckSignatureFrom(issuer); err != nil {
		t.Errorf("the second certificate does not certify the first: %v", err)
	}
	// RFC 7468 §3, strictly: 64 characters a line, LF, nothing in between.
	var strict strings.Builder
	for _, der := range chain {
		strict.WriteString("-----BEGIN CERTIFICATE-----\n")
		for text := base64.StdEncoding.EncodeToString(der); text != ""; {
			line := text[:min(64, len(text))]
			strict.WriteString(line + "\n")
			text = text[len(line):]
		}
		strict.WriteString("-----END CERTIFICATE-----\n")
	}
	if strict.String() != string(r.body) {
		t.Errorf("not strict PEM: %s", r.body)
	}
	c.post("/revoke-cert", revocation(der, "")).want(http.StatusOK)
	if again := c.fetch(o.Certificate).want(http.StatusOK); string(again.body) != string(r.body) {
		t.Error("the certificate's resource changed")
	}
}

func TestWaitingIsBounded(t *testing.T) {
	hold := make(chan struct{})
	a := newAuthority(t, nil)
	c := a.register()
	type pending struct {
		url  string
		body []byte
	}
	var list []pending
	for range front.MaxWaiting + 1 {
		_, o := c.order("a.test")
		challenge := read[acme.Authorization](c.fetch(o.Authorizations[0])).Challenges[0].URL
		list = append(list, pending{c.relative(challenge), c.sign(challenge, `{}`)})
	}
	a.worker.hold = hold
	answers := make(chan *answer, len(list))
	for _, p := range list {
		go func() { answers <- c.send(p.url, p.body) }()
	}
	// All may wait for a minute but one, which is told at once to come back.
	r := <-answers
	if got := read[acme.Challenge](r.want(http.StatusOK)); got.Status != acme.StatusProcessing || r.Header.Get("Retry-After") == "" {
		t.Errorf("the challenge is %s", r.body)
	}
	close(hold)
	for range front.MaxWaiting {
		if got := read[acme.Challenge]((<-answers).want(http.StatusOK)); got.Status != acme.StatusValid {
			t.Errorf("a challenge is %s", got.Status)
		}
	}
}
