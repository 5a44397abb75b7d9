package rehearsal

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// account is a registration.
type account struct {
	url    string
	key    *acme.Key
	object acme.Account
}

// order is an order, with its certificate once there is one. What changes is guarded by Server.mu.
type order struct {
	acme.Order
	account *account
	authzs  []*authz
	chain   [][]byte
}

// authz is an authorization. What changes is guarded by Server.mu.
type authz struct {
	acme.Authorization
	account *account
	looked  chan struct{} // closed when the look at a challenge is over; nil before one begins
}

// lifetime is how long orders and authorizations wait: longer than a person does.
const lifetime = 24 * time.Hour

// maxNames is how many identifiers an order has at most, as with most CAs.
const maxNames = 100

// newAccount registers whoever asks, or finds the account of a key (RFC 8555 §7.3).
func (s *Server) newAccount(r signed) (reply, *acme.Problem) {
	var asked acme.NewAccount
	if problem := read(r.payload, &asked); problem != nil {
		return reply{}, problem
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.accounts {
		if a.key.Equal(r.key) {
			return reply{status: http.StatusOK, location: a.url, body: a.object}, nil
		}
	}
	if asked.OnlyReturnExisting {
		return reply{}, acme.Problemf(acme.TypeAccountDoesNotExist, "this key has no account")
	}
	a := &account{url: s.base + "/account/" + rand.Text(), key: r.key,
		object: acme.Account{Status: acme.StatusValid, Contact: asked.Contact, TermsOfServiceAgreed: asked.TermsOfServiceAgreed, ExternalAccount: asked.ExternalAccount}}
	s.accounts[a.url] = a
	return reply{status: http.StatusCreated, location: a.url, body: a.object}, nil
}

func (s *Server) showAccount(r signed) (reply, *acme.Problem) {
	if r.account.url != s.base+r.URL.Path {
		return reply{}, notYours()
	}
	return reply{status: http.StatusOK, body: r.account.object}, nil
}

func notYours() *acme.Problem {
	return acme.Problemf(acme.TypeUnauthorized, "there is no such thing of this account")
}

// newOrder takes an order, with an authorization for each identifier (RFC 8555 §7.4).
func (s *Server) newOrder(r signed) (reply, *acme.Problem) {
	var asked acme.NewOrder
	if problem := read(r.payload, &asked); problem != nil {
		return reply{}, problem
	}
	if len(asked.Identifiers) == 0 || len(asked.Identifiers) > maxNames {
		return reply{}, acme.Problemf(acme.TypeMalformed, "an order has 1 to %d identifiers", maxNames)
	}
	if asked.Profile != "" && !slices.Contains(s.config.Profiles, asked.Profile) {
		return reply{}, acme.Problemf(acme.TypeInvalidProfile, "there is no profile %.64q", asked.Profile)
	}
	expires := time.Now().UTC().Add(lifetime).Truncate(time.Second)
	o := &order{account: r.account, Order: acme.Order{Status: acme.StatusPending, Expires: &expires, Profile: asked.Profile, Replaces: asked.Replaces}}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range asked.Identifiers {
		normal, problem := id.Normalize()
		if problem != nil {
			return reply{}, problem.About(id)
		}
		if slices.Contains(o.Identifiers, normal) {
			continue
		}
		o.Identifiers = append(o.Identifiers, normal)
		s.authorize(o, normal, expires)
	}
	number := rand.Text()
	o.URL, o.Order.Finalize = s.base+"/order/"+number, s.base+"/finalize/"+number
	s.orders[number] = o
	return reply{status: http.StatusCreated, location: o.URL, body: o.Order}, nil
}

// authorize adds a pending authorization to an order; s.mu is held.
func (s *Server) authorize(o *order, id acme.Identifier, expires time.Time) {
	base, wildcard := id.Base()
	number := rand.Text()
	z := &authz{account: o.account, Authorization: acme.Authorization{Identifier: base, Status: acme.StatusPending, Expires: &expires, Wildcard: wildcard}}
	kinds := []acme.ChallengeType{acme.HTTP01, acme.DNS01, acme.TLSALPN01, acme.DNSAccount01}
	switch {
	case wildcard:
		kinds = []acme.ChallengeType{acme.DNS01, acme.DNSAccount01}
	case id.Type == acme.IP: // RFC 8738 §3
		kinds = []acme.ChallengeType{acme.HTTP01, acme.TLSALPN01}
	}
	for i, kind := range kinds {
		z.Challenges = append(z.Challenges, acme.Challenge{Type: kind, Status: acme.StatusPending, Token: rand.Text(),
			URL: s.base + "/challenge/" + number + "/" + strconv.Itoa(i)})
	}
	s.authzs[number] = z
	o.authzs = append(o.authzs, z)
	o.Authorizations = append(o.Authorizations, s.base+"/authz/"+number)
}

// state derives the status of an order from its authorizations (RFC 8555 §7.1.6); s.mu is held.
func (o *order) state() acme.Order {
	if o.Status != acme.StatusPending {
		return o.Order
	}
	valid := 0
	for _, z := range o.authzs {
		switch z.Status {
		case acme.StatusValid:
			valid++
		case acme.StatusPending:
		default:
			o.Status = acme.StatusInvalid
			return o.Order
		}
	}
	if valid == len(o.authzs) {
		o.Status = acme.StatusReady
	}
	return o.Order
}

// orderOf finds an order of the account that asks; s.mu is held.
func (s *Server) orderOf(r signed) (*order, *acme.Problem) {
	o := s.orders[r.PathValue("id")]
	if o == nil || o.account != r.account {
		return nil, notYours()
	}
	return o, nil
}

func (s *Server) showOrder(r signed) (reply, *acme.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, problem := s.orderOf(r)
	if problem != nil {
		return reply{}, problem
	}
	return reply{status: http.StatusOK, body: o.state()}, nil
}

func (s *Server) showAuthz(r signed) (reply, *acme.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.authzs[r.PathValue("id")]
	if z == nil || z.account != r.account {
		return reply{}, notYours()
	}
	if len(r.payload) > 0 {
		var asked acme.Deactivation
		if problem := read(r.payload, &asked); problem != nil {
			return reply{}, problem
		}
		if asked.Status == acme.StatusDeactivated { // RFC 8555 §7.5.2
			z.Status = acme.StatusDeactivated
		}
	}
	answer := reply{status: http.StatusOK, body: z.copy()}
	if z.Status == acme.StatusPending && z.looked != nil {
		answer.pause = "1"
	}
	return answer, nil
}

// copy is what may be read without s.mu.
func (z *authz) copy() acme.Authorization {
	shown := z.Authorization
	shown.Challenges = slices.Clone(z.Challenges)
	return shown
}

// patience is how long an answer to a challenge waits for the outcome.
const patience = 5 * time.Second

// answer begins to look at a challenge (RFC 8555 §7.5.1), and waits a little for what is found.
func (s *Server) answer(r signed) (reply, *acme.Problem) {
	s.mu.Lock()
	z := s.authzs[r.PathValue("id")]
	n, err := strconv.Atoi(r.PathValue("n"))
	if z == nil || z.account != r.account || err != nil || n < 0 || n >= len(z.Challenges) {
		s.mu.Unlock()
		return reply{}, notYours()
	}
	if len(r.payload) > 0 && z.Status == acme.StatusPending && z.looked == nil {
		z.looked = make(chan struct{})
		z.Challenges[n].Status = acme.StatusProcessing
		s.work.Go(func() { s.look(z, n) })
	}
	looked := z.looked
	s.mu.Unlock()
	if looked != nil {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-looked:
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return reply{status: http.StatusOK, body: z.Challenges[n]}, nil
}

// look has the prober look for a proof, and notes the outcome.
func (s *Server) look(z *authz, n int) {
	s.mu.Lock()
	challenge, id, wildcard := z.Challenges[n], z.Identifier, z.Wildcard
	s.mu.Unlock()
	result, err := s.prober(id).Prove(s.ctx, validate.Request{
		Type: challenge.Type, Identifier: id, Wildcard: wildcard, Token: challenge.Token,
		KeyAuthorization: acme.KeyAuthorization(challenge.Token, z.account.key.Thumbprint()), AccountURL: z.account.url,
	})
	problem := result.Problem
	if err != nil {
		problem = acme.Problemf(acme.TypeServerInternal, "the rehearsal could not look: %v", err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(z.looked)
	c := &z.Challenges[n]
	if problem != nil {
		c.Status, c.Error, z.Status = acme.StatusInvalid, problem, acme.StatusInvalid
		s.config.Log.Debug("the rehearsal found no proof", "identifier", id, "type", challenge.Type, "problem", problem)
		return
	}
	c.Status, c.Validated, z.Status = acme.StatusValid, &now, acme.StatusValid
}

// finalize issues the certificate of an order that is ready (RFC 8555 §7.4).
func (s *Server) finalize(r signed) (reply, *acme.Problem) {
	var asked acme.Finalize
	if problem := read(r.payload, &asked); problem != nil {
		return reply{}, problem
	}
	der, problem := acme.DecodeBase64URL("csr", asked.CSR)
	if problem != nil {
		return reply{}, problem
	}
	csr, problem := rules.ParseCSR(der)
	if problem != nil {
		return reply{}, problem
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, problem := s.orderOf(r)
	if problem != nil {
		return reply{}, problem
	}
	if status := o.state().Status; status == acme.StatusValid {
		return reply{status: http.StatusOK, location: o.URL, body: o.Order}, nil
	} else if status != acme.StatusReady {
		return reply{}, acme.Problemf(acme.TypeOrderNotReady, "the order is %s", status)
	}
	if !same(csr.Identifiers, o.Identifiers) {
		return reply{}, acme.Problemf(acme.TypeBadCSR, "the names of the CSR are not those of the order")
	}
	chain, err := s.authority.issue(csr, s.config.Lifetime, time.Now())
	if err != nil {
		return reply{}, acme.Problemf(acme.TypeServerInternal, "signing: %v", err)
	}
	o.chain, o.Status, o.Certificate = chain, acme.StatusValid, s.base+"/certificate/"+r.PathValue("id")
	return reply{status: http.StatusOK, location: o.URL, body: o.Order}, nil
}

// same reports whether two lists have the same identifiers, each of which stands once.
func same(a, b []acme.Identifier) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(id acme.Identifier) bool { return !slices.Contains(b, id) })
}

// certificate gives the chain (RFC 8555 §7.4.2).
func (s *Server) certificate(r signed) (reply, *acme.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, problem := s.orderOf(r)
	if problem != nil || o.chain == nil {
		return reply{}, notYours()
	}
	return reply{pem: chainPEM(o.chain)}, nil
}

// revoke takes a revocation of what was issued here (RFC 8555 §7.6).
func (s *Server) revoke(r signed) (reply, *acme.Problem) {
	var asked acme.Revocation
	if problem := read(r.payload, &asked); problem != nil {
		return reply{}, problem
	}
	der, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(asked.Certificate, "="))
	if err != nil {
		return reply{}, acme.Problemf(acme.TypeMalformed, "the certificate is not base64url")
	}
	if cert, err := x509.ParseCertificate(der); err != nil || cert.CheckSignatureFrom(s.authority.issuer) != nil {
		return reply{}, acme.Problemf(acme.TypeMalformed, "the certificate is not from here").WithStatus(http.StatusNotFound)
	}
	return reply{status: http.StatusOK}, nil
}
