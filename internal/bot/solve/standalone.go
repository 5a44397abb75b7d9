package solve

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// StandaloneConfig says what a Standalone answers, and where it listens.
type StandaloneConfig struct {
	Address string // an IP address; "" is every address, of both families
	Port    int    // for http-01; 0 is 80, where CAs look
	TLSPort int    // for tls-alpn-01; 0 is 443, where CAs look
	// Challenges are the kinds of challenge to answer, the preferred one first; nil is http-01, and
	// tls-alpn-01 where the CA does not offer that.
	Challenges []acme.ChallengeType
	// Listeners are shared with other solvers of the process; nil makes some for this one alone.
	Listeners *Listeners
	Log       *slog.Logger
}

// Standalone answers http-01 and tls-alpn-01 challenges with servers that run only while
// there are challenges to answer.
type Standalone struct {
	config StandaloneConfig

	mu   sync.Mutex
	shut map[string]func() // by challenge: what takes it back; guarded by mu
}

// standaloneTypes is what a Standalone can answer.
var standaloneTypes = []acme.ChallengeType{acme.HTTP01, acme.TLSALPN01}

// NewStandalone checks c. It does not listen yet.
func NewStandalone(c StandaloneConfig) (*Standalone, error) {
	for number, standard := range map[*int]int{&c.Port: 80, &c.TLSPort: 443} {
		if *number == 0 {
			*number = standard
		}
		if *number < 1 || *number > 65535 {
			return nil, fmt.Errorf("%d is not a port: use 1 to 65535", *number)
		}
	}
	if c.Address != "" && net.ParseIP(c.Address) == nil {
		return nil, fmt.Errorf("%q is not an IP address to listen on", c.Address)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Listeners == nil {
		c.Listeners = NewListeners(ListenersConfig{Log: c.Log})
	}
	var err error
	if c.Challenges, err = Preferred("standalone", standaloneTypes, c.Challenges); err != nil {
		return nil, err
	}
	return &Standalone{config: c, shut: make(map[string]func())}, nil
}

// Types is what the configuration says: neither kind proves control of a wildcard, and no CA offers them for one.
func (s *Standalone) Types(acme.Identifier, bool) []acme.ChallengeType { return s.config.Challenges }

// Present opens the port for c, unless it is open, and answers c there.
func (s *Standalone) Present(ctx context.Context, c renew.Challenge) error {
	if err := checkToken(c); err != nil {
		return err
	}
	number := s.config.Port
	if c.Type == acme.TLSALPN01 {
		number = s.config.TLSPort
	}
	answers, leave, err := s.config.Listeners.use(ctx, c.Type, s.config.Address, number)
	if err != nil {
		return err
	}
	remove := func() {}
	switch answers := answers.(type) {
	case *files:
		answers.add(c.Token, c.KeyAuthorization)
		remove = func() { answers.remove(c.Token) }
	case *certificates:
		certificate, err := ALPNCertificate(c.Identifier, c.KeyAuthorization, time.Now())
		if err == nil {
			err = answers.add(ctx, c.Identifier, c.Token, certificate)
		}
		if err != nil {
			leave()
			return err
		}
		remove = func() { answers.remove(c.Identifier, c.Token) }
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut[keyOf(c)] = func() { remove(); leave() }
	return nil
}

// CleanUp forgets c, and closes its port after the last one.
func (s *Standalone) CleanUp(_ context.Context, c renew.Challenge) error {
	s.mu.Lock()
	shut := s.shut[keyOf(c)]
	delete(s.shut, keyOf(c))
	s.mu.Unlock()
	if shut != nil {
		shut()
	}
	return nil
}

// keyOf tells the challenges of one order apart.
func keyOf(c renew.Challenge) string {
	return fmt.Sprintf("%s %s %v %s", c.Type, c.Identifier, c.Wildcard, c.Token)
}
