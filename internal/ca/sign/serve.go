package sign

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
)

// Served is a Signer as others may call it, or what stands before one.
type Served interface {
	Certificate(ctx context.Context, r Request) (Certificate, error)
	CRL(ctx context.Context, r CRLRequest) ([]byte, error)
}

// ServeConfig says how a signer is offered to the other roles. Signer is required.
type ServeConfig struct {
	Signer Served
	// OwnProfile is for the certificates of fronts' own HTTPS servers, and for nothing else; "" means that none are made.
	OwnProfile string
	// OwnNames lists what the server of a front may be called. Without it no front gets a certificate.
	OwnNames func(node string) []acme.Identifier

	Limit int // signatures in parallel; 0 means 64
}

const (
	maxRequest = 256 << 10 // octets; the longest is for the most names that a profile allows
	maxKey     = 8 << 10   // of a SubjectPublicKeyInfo; RSA with 8192 bits has 1 KiB
	maxName    = 128       // of an order or a profile

	// ownPrefix begins what is an order in the journal for the certificate of a CA's own server. No order of a client does.
	ownPrefix = "https-"

	// queueTime is how long a request waits for its turn before the caller may as well ask another signer.
	queueTime = 5 * time.Second
	// ownPerHour is how many certificates the server of one front gets. It needs one in two months, and another
	// when its addresses change.
	ownPerHour = 60
)

// server answers the calls of other roles.
type server struct {
	ServeConfig
	running chan struct{}

	mu  sync.Mutex
	own map[string][]time.Time // when a front's node got certificates, in the last hour
}

// Serve offers the signer of c: certificates to workers, lists to publishers, and to a front the
// certificate of its own server. It is the other side of Remote. Whoever else calls is refused.
func Serve(s *rpc.Server, c ServeConfig) {
	if c.Limit == 0 {
		c.Limit = 64
	}
	served := &server{ServeConfig: c, running: make(chan struct{}, c.Limit), own: make(map[string][]time.Time)}
	rpc.HandleMethod(s, rpc.Method{Name: methodCertificate, Roles: []string{rpc.RoleWork}, Limit: maxRequest}, served.certificate)
	rpc.HandleMethod(s, rpc.Method{Name: methodCRL, Roles: []string{rpc.RoleCRL}, Limit: maxReply}, served.crl)
	rpc.HandleMethod(s, rpc.Method{Name: methodOwn, Roles: []string{rpc.RoleFront}, Limit: maxRequest}, served.ownCertificate)
}

// begin waits for a turn; end gives it back.
func (s *server) begin(ctx context.Context) error {
	timer := time.NewTimer(queueTime)
	defer timer.Stop()
	select {
	case s.running <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return errors.New("too many signatures are waited for")
	}
}

func (s *server) end() { <-s.running }

func (s *server) certificate(ctx context.Context, r wireRequest) (Certificate, error) {
	if r.Profile == s.OwnProfile && s.OwnProfile != "" {
		return Certificate{}, rpc.Refuse("profile %q is for the servers of fronts", r.Profile)
	}
	if strings.HasPrefix(r.Order, ownPrefix) {
		return Certificate{}, rpc.Refuse("the order %.64q is of a front's own", r.Order)
	}
	if len(r.Order) > maxName || len(r.Profile) > maxName {
		return Certificate{}, rpc.Refuse("the name of the order or of the profile is too long")
	}
	return s.make(ctx, Request{
		Order: r.Order, Profile: r.Profile, Identifiers: r.Identifiers,
		MustStaple: r.MustStaple, NotBefore: r.NotBefore, NotAfter: r.NotAfter,
	}, r.PublicKey)
}

// make has a certificate made for the key with the DER spki.
func (s *server) make(ctx context.Context, r Request, spki []byte) (Certificate, error) {
	key, err := parseSPKI(spki)
	if err != nil {
		return Certificate{}, rpc.Refuse("%v", err)
	}
	r.PublicKey = key
	if err := s.begin(ctx); err != nil {
		return Certificate{}, err
	}
	defer s.end()
	certificate, err := s.Signer.Certificate(ctx, r)
	if err != nil {
		return Certificate{}, refusal(err)
	}
	return certificate, nil
}

// parseSPKI reads a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), which has one encoding.
func parseSPKI(der []byte) (crypto.PublicKey, error) {
	if len(der) > maxKey {
		return nil, errors.New("the key is too large")
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New("the key cannot be read")
	}
	if again, err := x509.MarshalPKIXPublicKey(key); err != nil || !bytes.Equal(again, der) {
		return nil, errors.New("the key is not encoded as DER has it")
	}
	return key, nil
}

func (s *server) crl(ctx context.Context, r CRLRequest) (wireCRL, error) {
	if err := s.begin(ctx); err != nil {
		return wireCRL{}, err
	}
	defer s.end()
	der, err := s.Signer.CRL(ctx, r)
	if err != nil {
		return wireCRL{}, refusal(err)
	}
	return wireCRL{DER: der}, nil
}

// ownCertificate makes the certificate of the calling front's server. Its names are among those that this
// signer knows of that front: what the front says is not believed.
func (s *server) ownCertificate(ctx context.Context, r wireOwn) (Certificate, error) {
	peer, _, _ := rpc.PeerFrom(ctx) // a front, or it would not get here
	if s.OwnProfile == "" || s.OwnNames == nil {
		return Certificate{}, rpc.Refuse("this signer makes no certificates for the servers of fronts")
	}
	known := s.OwnNames(peer.Node)
	for _, id := range r.Identifiers {
		if !slices.Contains(known, id) {
			return Certificate{}, rpc.Refuse("the server of front %s may not be called %.253q: the signer's configuration does not say so", peer.Node, id.Value)
		}
	}
	if !s.count(peer.Node, time.Now()) {
		return Certificate{}, rpc.Refuse("front %s had %d certificates for its server within an hour", peer.Node, ownPerHour)
	}
	hash := sha256.Sum256(r.PublicKey)
	return s.make(ctx, Request{
		Order:   fmt.Sprintf("%s%s-%x", ownPrefix, peer.Node, hash[:16]), // whoever asks again with the key gets the same one
		Profile: s.OwnProfile, Identifiers: r.Identifiers,
	}, r.PublicKey)
}

// count counts a certificate for the server of a front, unless there were too many.
func (s *server) count(node string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own[node] = slices.DeleteFunc(s.own[node], func(at time.Time) bool { return now.Sub(at) > time.Hour })
	if len(s.own[node]) >= ownPerHour {
		return false
	}
	s.own[node] = append(s.own[node], now)
	return true
}
