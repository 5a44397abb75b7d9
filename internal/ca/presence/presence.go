// Package presence knows which processes of a cluster run, and which hosts belong to it. Each process notes in the
// database every few seconds that it is there, and reads who else is.
//
// The database is trusted with that: an attacker who can write to it can keep roles from finding each other, and have
// a host that was removed be called again. They cannot take the place of one that is there, since calls go only to the key
// that joined and a certificate of the roles' CA. The users of fronts and workers may write none of that but who is there.
package presence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// Config says who a process is. DB and Log are required.
type Config struct {
	DB *store.DB
	// Self says what this process is at the moment, once for each of its roles. Its key changes where it is renewed.
	Self func() ([]store.Node, error)
	// Period is how often it notes that; 0 means 3 s. Who was not seen for three periods is not there.
	Period time.Duration
	// Look is how often it reads who else is there; 0 means 1 s. So soon a host that was removed is refused.
	Look time.Duration
	Log  *slog.Logger
}

const (
	maxNodes = 1024
	// maxAge is how long what was read counts while the database does not answer.
	maxAge = time.Minute
	// lookTime bounds one access to the database.
	lookTime = 5 * time.Second
)

// Presence is what one process knows of the others. It is safe for concurrent use.
type Presence struct {
	Config
	seen atomic.Pointer[sight]
}

// sight is what was read at one moment. It does not change.
type sight struct {
	at      time.Time
	members map[rpc.Peer][]byte // the hash of the key that each joined with
	nodes   []store.Node        // that are there, and members
}

// Open notes that this process is there, and reads who else is.
func Open(ctx context.Context, c Config) (*Presence, error) {
	if c.Period == 0 {
		c.Period = 3 * time.Second
	}
	if c.Look == 0 {
		c.Look = time.Second
	}
	p := &Presence{Config: c}
	if err := p.note(ctx); err != nil {
		return nil, err
	}
	return p, p.look(ctx)
}

// Run keeps both up to date until ctx ends, and then takes leave.
func (p *Presence) Run(ctx context.Context) {
	defer p.leave(context.WithoutCancel(ctx))
	look := time.NewTicker(p.Look)
	defer look.Stop()
	noted, troubled := time.Now(), false
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		err := p.look(ctx)
		// Not all at the same moment, though all may have been started at one.
		if time.Since(noted) >= p.Period-rand.N(p.Period/4) {
			noted = time.Now()
			err = errors.Join(err, p.note(ctx))
		}
		if err != nil && !troubled && ctx.Err() == nil {
			p.Log.Warn("it is not known which other machines are there", "error", err)
		}
		troubled = err != nil
	}
}

// note saves that this process is there.
func (p *Presence) note(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	self, err := p.self()
	if err != nil {
		return err
	}
	for _, n := range self { // each in a transaction: only who is at the same row is waited for
		if err := p.DB.Update(ctx, func(tx *store.Tx) error { return tx.NoteNode(n) }); err != nil {
			return err
		}
	}
	return nil
}

func (p *Presence) self() ([]store.Node, error) {
	if p.Self == nil {
		return nil, nil
	}
	self, err := p.Self()
	if err != nil {
		return nil, fmt.Errorf("noting that this process is there: %w", err)
	}
	return self, nil
}

// leave lets the others know at once that this process ends.
func (p *Presence) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	self, err := p.self()
	if err != nil {
		return // they find out
	}
	for _, n := range self {
		if err := p.DB.Update(ctx, func(tx *store.Tx) error { return tx.DropNode(n.Node, n.Role, n.Instance) }); err != nil {
			return
		}
	}
}

// look reads who is there.
func (p *Presence) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	var next sight
	err := p.DB.View(ctx, func(tx *store.Tx) error {
		next = sight{at: time.Now(), members: make(map[rpc.Peer][]byte)}
		members, err := tx.Members(maxNodes)
		if err != nil {
			return err
		}
		for _, m := range members {
			next.members[rpc.Peer{Role: m.Role, Node: m.Node}] = m.KeyHash
		}
		nodes, err := tx.Nodes("", tx.Now.Add(-3*p.Period), maxNodes)
		for _, n := range nodes {
			if key := next.members[rpc.Peer{Role: n.Role, Node: n.Node}]; len(key) == sha256.Size && bytes.Equal(key, n.KeyHash) {
				next.nodes = append(next.nodes, n)
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("reading which machines are there: %w", err)
	}
	p.seen.Store(&next)
	return nil
}

// sight is what was read last.
func (p *Presence) sight() (*sight, error) {
	s := p.seen.Load()
	if s == nil || time.Since(s.at) > maxAge {
		return nil, errors.New("it is not known which machines are there: the database does not answer")
	}
	return s, nil
}

// Nodes lists the processes that are there with a role; with any if that is "".
func (p *Presence) Nodes(role string) ([]store.Node, error) {
	s, err := p.sight()
	if err != nil {
		return nil, err
	}
	var list []store.Node
	for _, n := range s.nodes {
		if role == "" || n.Role == role {
			list = append(list, n)
		}
	}
	return list, nil
}

// Clients returns what lists the servers of a role that can be called over pool: for sign.Remote, work.Remote and front.Peers.
func (p *Presence) Clients(pool *rpc.Pool, role string) func(context.Context) ([]rpc.Client, error) {
	return func(context.Context) ([]rpc.Client, error) {
		nodes, err := p.Nodes(role)
		if err != nil {
			return nil, err
		}
		var list []rpc.Client
		for _, n := range nodes {
			if n.Address != "" {
				list = append(list, client(pool, n))
			}
		}
		return list, nil
	}
}

// Instance finds the front that makes nonces with a beginning. Whatever the beginning, it looks at what is known already:
// made-up nonces cost neither a read of the database nor a call.
func (p *Presence) Instance(pool *rpc.Pool, instance string) (c rpc.Client, found bool) {
	s := p.seen.Load()
	if s == nil || instance == "" {
		return c, false
	}
	for _, n := range s.nodes {
		if n.Role == rpc.RoleFront && n.Instance == instance && n.Address != "" {
			return client(pool, n), true
		}
	}
	return c, false
}

// client calls n, and only the host with the key that joined as n.
func client(pool *rpc.Pool, n store.Node) rpc.Client {
	key := [sha256.Size]byte(n.KeyHash)
	return pool.Client(n.Address, rpc.Expect{Role: n.Role, Node: n.Node, Key: &key})
}

// Admit is for rpc.Server: it refuses peers that were removed, whatever their certificate says.
func (p *Presence) Admit(_ context.Context, peer rpc.Peer, key [sha256.Size]byte) error {
	s, err := p.sight()
	if err != nil {
		return err
	}
	if joined, ok := s.members[peer]; !ok || !bytes.Equal(joined, key[:]) {
		return &rpc.Refusal{Code: rpc.CodeForbidden, Reason: fmt.Sprintf("%s does not belong to this cluster, or not any more: let it join anew", peer.URI())}
	}
	return nil
}
