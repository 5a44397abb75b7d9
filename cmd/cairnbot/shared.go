package main

import (
	"context"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// shared is what all that one run does has in common. It may be used by several renewals at once.
type shared struct {
	memory *renew.Memory
	jobs   *renew.Jobs
	locks  renew.Locks

	mu      sync.Mutex
	clients map[string]*acme.Client // by account, and by how its CA is talked to; guarded by mu
	down    map[string]error        // CAs that were out of reach in this run; guarded by mu
	advice  map[string]*acme.Client // without an account, for renewal information; guarded by mu
	silent  map[string]bool         // CAs that are not asked for that any more in this run; guarded by mu
}

func newShared(workDir string) *shared {
	return &shared{
		memory: renew.OpenMemory(filepath.Join(workDir, "state")), jobs: renew.OpenJobs(filepath.Join(workDir, "orders")),
		clients: make(map[string]*acme.Client), down: make(map[string]error), advice: make(map[string]*acme.Client),
		silent: make(map[string]bool),
	}
}

// unreachable says why a CA was out of reach in this run, if it was.
func (s *shared) unreachable(server string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down[server]
}

// silence has a CA asked no more when to renew.
func (s *shared) silence(server string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent[server] = true
}

// client gives the client that key stands for, and makes it where there is none yet.
func (s *shared) client(key string, create func() (*acme.Client, error)) (*acme.Client, error) {
	s.mu.Lock()
	known := s.clients[key]
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	client, err := create()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[key] = client
	return client, nil
}

// reach connects to the CA that s names, as its account, and reads its directory. Renewals that run at once come with
// one client, an account is made once, and a CA that is out of reach is found out of reach once.
func (a *app) reach(ctx context.Context, s *settings, register bool) (*acme.Client, error) {
	server := s.params.Server
	unlock, err := a.shared.locks.Lock(ctx, "server "+server)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := a.shared.unreachable(server); err != nil {
		return nil, err
	}
	connect := func() (*acme.Client, error) { return a.connect(ctx, s, register) }
	var client *acme.Client
	if s.params.Account == "" || a.newcomer != nil {
		client, err = connect() // which notes the account in s
	} else {
		key := strings.Join([]string{server, s.params.Account, s.bundle, s.params.Authenticator}, "\n")
		client, err = a.shared.client(key, connect)
	}
	if err != nil {
		return nil, a.trouble(server, err)
	}
	_, err = client.Directory(ctx)
	return client, a.trouble(server, err)
}

// trouble remembers that a CA is out of reach, or in trouble, or no longer, and returns err.
func (a *app) trouble(server string, err error) error {
	known := a.shared.memory.Server(server)
	class, _ := renew.Classify(err)
	switch {
	case err == nil && known.Trouble == nil:
		return nil
	case err == nil:
		known.Trouble = nil
	case class == renew.ClassNetwork || class == renew.ClassServer:
		known.Trouble = renew.Failed(known.Trouble, err, server, "", now())
		a.shared.mu.Lock()
		a.shared.down[server] = err
		a.shared.mu.Unlock()
	default:
		return err
	}
	if !a.dryRun {
		if saveErr := a.shared.memory.SaveServer(server, known); saveErr != nil {
			a.log.Warn("what is known of a CA could not be kept", "server", server, "error", saveErr)
		}
	}
	return err
}
