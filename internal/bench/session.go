package bench

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// account is an ACME account. Several sessions can use it at once.
type account struct {
	key        crypto.Signer
	public     *acme.Key
	url        string
	thumbprint string

	mu       sync.Mutex
	renewals []*earlier // guarded by mu; the oldest first
}

// earlier is an issuance that can be renewed.
type earlier struct {
	request  *request
	replaces string // the acme.CertID of its certificate
}

// maxRenewals is how many certificates an account remembers, in order to renew them.
const maxRenewals = 256

// keep remembers an issuance, in order to renew it.
func (a *account) keep(e *earlier) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.renewals) == maxRenewals {
		a.renewals = a.renewals[1:]
	}
	a.renewals = append(a.renewals, e)
}

// oldest takes an issuance to renew, or nil. None is given twice: a certificate is replaced once (RFC 9773 §5).
func (a *account) oldest() *earlier {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.renewals) == 0 {
		return nil
	}
	e := a.renewals[0]
	a.renewals = a.renewals[1:]
	return e
}

// newAccountKey makes the key of an account: ES256.
func newAccountKey() (*account, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	public, err := acme.NewKey(key.Public())
	if err != nil {
		return nil, err
	}
	return &account{key: key, public: public, thumbprint: public.Thumbprint()}, nil
}

// session is one client at work: a connection and the nonce that came last. One goroutine uses it.
type session struct {
	server *server
	link   link
	nonce  string
	record *record // nil while nothing is measured
}

// maxNonceTries is how often a request is signed anew after badNonce; Pebble refuses one nonce in twenty on purpose.
const maxNonceTries = 10

// exchange sends one request and measures it. An answer of 4xx or 5xx is a *acme.Problem.
func (s *session) exchange(ctx context.Context, kind Kind, method, url string, body []byte) (*reply, error) {
	begun := time.Now()
	answer, err := s.link.exchange(ctx, method, url, body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	s.record.request(kind, time.Since(begun))
	s.nonce = answer.header.Get("Replay-Nonce")
	if answer.status >= 400 {
		return answer, fmt.Errorf("%s: %w", kind, problemOf(answer))
	}
	if answer.status >= 300 {
		return nil, fmt.Errorf("%s: %.200q redirects a signed request (status %d)", kind, url, answer.status)
	}
	return answer, nil
}

// problemOf makes the problem that an answer of 4xx or 5xx stands for.
func problemOf(a *reply) *acme.Problem {
	p := new(acme.Problem)
	if json.Unmarshal(a.body, p) != nil || p.Type == "" {
		p = &acme.Problem{Type: acme.ProblemType(fmt.Sprintf("status-%d", a.status)), Detail: "the answer is no problem document"}
	}
	p.Type, p.Detail = acme.ProblemType(printable(string(p.Type), 100)), printable(p.Detail, 500)
	p.Status = a.status
	return p
}

// printable takes out what could control a terminal, and bounds the rest.
func printable(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
	return text[:min(len(text), most)]
}

// post signs payload as a and sends it; a nil payload makes a POST-as-GET (RFC 8555 §6.3). The answer is decoded into
// result, unless that is nil. A badNonce answer brings a nonce, with which the request is signed anew (§6.5).
func (s *session) post(ctx context.Context, kind Kind, a *account, url string, payload, result any) (*reply, error) {
	var text []byte
	if payload != nil {
		var err error
		if text, err = json.Marshal(payload); err != nil {
			return nil, err
		}
	}
	for try := 1; ; try++ {
		if s.nonce == "" {
			if err := s.newNonce(ctx); err != nil {
				return nil, err
			}
		}
		header := acme.Header{Nonce: s.nonce, URL: url, KeyID: a.url}
		if a.url == "" {
			header.Key = a.public
		}
		s.nonce = ""
		body, err := acme.SignJWS(a.key, header, text)
		if err != nil {
			return nil, err
		}
		answer, err := s.exchange(ctx, kind, "POST", url, body)
		var problem *acme.Problem
		if errors.As(err, &problem) && problem.Type == acme.TypeBadNonce && try < maxNonceTries {
			s.record.badNonce()
			continue
		}
		if err == nil && result != nil {
			if err = json.Unmarshal(answer.body, result); err != nil {
				err = fmt.Errorf("%s: the answer is not what RFC 8555 prescribes: %w", kind, err)
			}
		}
		return answer, err
	}
}

// newNonce asks for a nonce (RFC 8555 §7.2).
func (s *session) newNonce(ctx context.Context) error {
	if _, err := s.exchange(ctx, NewNonce, "HEAD", s.server.directory.NewNonce, nil); err != nil {
		return err
	}
	if s.nonce == "" {
		return errors.New("newNonce: the answer has no Replay-Nonce")
	}
	return nil
}

// register makes a's account (RFC 8555 §7.3).
func (s *session) register(ctx context.Context, a *account) error {
	request := acme.NewAccount{TermsOfServiceAgreed: true}
	answer, err := s.post(ctx, NewAccount, a, s.server.directory.NewAccount, request, nil)
	if err != nil {
		return err
	}
	if a.url = answer.header.Get("Location"); a.url == "" {
		return errors.New("newAccount: the answer has no Location")
	}
	return nil
}
