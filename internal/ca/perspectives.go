package ca

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/ops"
	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// Perspectives says how remote perspectives are asked. The zero value is useful.
type Perspectives struct {
	Baseline bool          // ask for as many, in as many regions, as BR §3.2.2.9 does on the day
	Timeout  time.Duration // for one remote perspective; 0 means 15 s
	Grace    time.Duration // how long evidence is waited for once the outcome is clear; 0 means 500 ms
	Check    time.Duration // how often each is called to see whether it answers; 0 means 1 min
}

const (
	// relist is after what time a perspective that was added or removed counts, at the latest.
	relist = time.Second
	// recheck is how soon one that does not answer is called again.
	recheck = 10 * time.Second
	// maxTrouble bounds what is kept of why one does not answer, in octets. It may have written that itself.
	maxTrouble = 300
	// maxAnswer bounds what one answers, in octets: all of its evidence of one proof, and a hostile one no more.
	maxAnswer = 1 << 20
	// firstCheck is how long after it has joined a host is first called: it has to open its port.
	firstCheck = time.Second
)

// perspectivesConfig is what it takes to ask them.
type perspectivesConfig struct {
	config   Perspectives
	db       *store.DB
	identity func() (rpc.Identity, error) // who this process is to them
	roles    *roleCA                      // by which their certificates are renewed; nil where its key is not, and run is not called
	log      *slog.Logger
	watch    *observer
}

// perspectives are the remote ones. They are known from the database.
type perspectives struct {
	perspectivesConfig
	wake chan struct{} // of capacity 1: one has joined

	mu      sync.Mutex // guards what follows
	listed  time.Time
	list    []store.Validator
	clients map[string]*http.Client // by connection
}

func newPerspectives(c perspectivesConfig) *perspectives {
	return &perspectives{perspectivesConfig: c, wake: make(chan struct{}, 1), clients: make(map[string]*http.Client)}
}

// quorum is the local perspective with all remote ones.
func (p *perspectives) quorum(local validate.Vantage) *validate.Quorum {
	return validate.NewQuorum(validate.QuorumConfig{
		Local: local, Remotes: p.remotes, Baseline: p.config.Baseline, Grace: p.config.Grace,
	})
}

// remotes lists those that count: all that have answered at least once. One that
// never did would only keep the authority from issuing.
func (p *perspectives) remotes(ctx context.Context) (remotes []validate.Perspective, err error) {
	list, err := p.known(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range list {
		if v.Seen.IsZero() {
			continue
		}
		client, err := p.client(v)
		if err != nil {
			return nil, err
		}
		place := validate.Place{Name: v.Node, RIR: v.RIR}
		remotes = append(remotes, validate.Perspective{
			Place: place, Vantage: p.watch.perspective(v.Node, validate.Remote{Place: place, Client: client, Timeout: p.config.Timeout}),
		})
	}
	return remotes, nil
}

// known lists all, as they were a second ago at the earliest.
func (p *perspectives) known(ctx context.Context) ([]store.Validator, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.listed) < relist {
		return p.list, nil
	}
	var list []store.Validator
	err := p.db.View(ctx, func(tx *store.Tx) (err error) { list, err = tx.Validators(ops.MaxValidators); return err })
	if err != nil {
		return nil, err
	}
	p.list, p.listed = list, time.Now()
	p.forget()
	return list, nil
}

// forget closes the connections to perspectives that are not listed any more. The caller holds p.mu.
func (p *perspectives) forget() {
	wanted := make(map[string]bool)
	for _, v := range p.list {
		wanted[connection(v)] = true
	}
	for name, client := range p.clients {
		if !wanted[name] {
			client.CloseIdleConnections()
			delete(p.clients, name)
		}
	}
}

// connection names what a connection to v depends on.
func connection(v store.Validator) string {
	return fmt.Sprintf("%s %s %x", v.Node, v.Address, v.KeyHash)
}

// client calls v, and only the host with the key that joined as v.
func (p *perspectives) client(v store.Validator) (rpc.Client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := connection(v)
	if p.clients[name] == nil {
		identity, err := p.identity()
		if err != nil {
			return rpc.Client{}, err
		}
		key := [sha256.Size]byte(v.KeyHash)
		p.clients[name] = &http.Client{Transport: &http.Transport{
			TLSClientConfig:     identity.ClientConfig(rpc.Expect{Role: rpc.RoleValidator, Node: v.Node, Key: &key}),
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout: 5 * time.Second, MaxIdleConnsPerHost: 64, MaxConnsPerHost: 256,
			IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 16 << 10,
		}}
	}
	return rpc.Client{URL: "https://" + v.Address, HTTP: p.clients[name], Limit: maxAnswer}, nil
}

// joined has the newest one called soon.
func (p *perspectives) joined() {
	p.mu.Lock()
	p.listed = time.Time{}
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run calls each perspective from time to time, notes whether it answers, and renews its certificate, until ctx ends.
func (p *perspectives) run(ctx context.Context) {
	p.warn(ctx)
	next := make(map[string]time.Time) // when each is to be called, by connection
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
			timer.Reset(firstCheck)
			continue
		case <-timer.C:
		}
		p.checkAll(ctx, next)
		timer.Reset(min(recheck, p.config.Check))
	}
}

// warn says once where nothing can be issued for want of perspectives.
func (p *perspectives) warn(ctx context.Context) {
	list, err := p.remotes(ctx)
	if needed := validate.BaselineRule(time.Now()).Remotes; err == nil && p.config.Baseline && len(list) < needed {
		p.log.Warn("nothing can be issued yet: too few remote perspectives are in use for perspectives.baseline",
			"in_use", len(list), "needed", needed, "remedy", "cairn validator token")
	}
}

// checkAll calls all that are due, side by side.
func (p *perspectives) checkAll(ctx context.Context, next map[string]time.Time) {
	list, err := p.known(ctx)
	if err != nil {
		if ctx.Err() == nil {
			p.log.Error("listing the validators failed", "error", err)
		}
		return
	}
	var all sync.WaitGroup
	for _, v := range list {
		if v.Trouble == "" && !v.Seen.IsZero() && time.Now().Before(next[connection(v)]) {
			continue
		}
		next[connection(v)] = time.Now().Add(p.config.Check)
		all.Go(func() {
			if err := p.check(ctx, v); err != nil && ctx.Err() == nil {
				p.log.Error("checking a validator failed", "node", v.Node, "error", err)
			}
		})
	}
	all.Wait()
}

// check calls v and saves what it says, where that is news.
func (p *perspectives) check(ctx context.Context, v store.Validator) error {
	inner, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	now := v
	health, err := p.call(inner, v)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		now.Trouble = shortText(err.Error(), maxTrouble)
	default:
		now.Trouble, now.Seen, now.Version = "", time.Now(), shortText(health.Version, maxVersion)
	}
	if now.Trouble != "" && v.Trouble == "" {
		p.log.Warn("a validator does not answer", "node", v.Node, "address", v.Address, "error", err)
	} else if now.Trouble == "" && (v.Trouble != "" || v.Seen.IsZero()) {
		p.log.Info("a validator answers", "node", v.Node, "address", v.Address, "version", now.Version)
	}
	if now.Trouble == v.Trouble && now.Version == v.Version && now.Seen.Sub(v.Seen) < 5*time.Minute {
		return nil
	}
	err = p.db.Update(ctx, func(tx *store.Tx) error { return tx.NoteValidator(now) })
	if errors.Is(err, store.ErrConflict) {
		return nil // it was removed meanwhile
	}
	p.mu.Lock()
	p.listed = time.Time{}
	p.mu.Unlock()
	return err
}

// call asks v how it is, and renews its certificate where that is due. The connection has
// proven that it is v, and its key stays the same.
func (p *perspectives) call(ctx context.Context, v store.Validator) (Health, error) {
	client, err := p.client(v)
	if err != nil {
		return Health{}, err
	}
	health, err := rpc.Call[struct{}, Health](ctx, client, "health", struct{}{})
	if err != nil || health.Renewal == nil {
		return health, err
	}
	der, err := p.recertify(v, health.Renewal)
	if err != nil {
		return health, fmt.Errorf("renewing its certificate: %w", err)
	}
	if _, err := rpc.Call[[]byte, struct{}](ctx, client, "renew", der); err != nil {
		return health, fmt.Errorf("renewing its certificate: %w", err)
	}
	p.log.Info("the certificate of a validator was renewed", "node", v.Node)
	return health, nil
}

// recertify makes another certificate for v from its CSR. The key must be the one that joined.
func (p *perspectives) recertify(v store.Validator, csr []byte) ([]byte, error) {
	key, err := roles.ParseCSR(csr)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	if hash := sha256.Sum256(spki); !bytes.Equal(hash[:], v.KeyHash) {
		return nil, errors.New("its key is another one than it joined with")
	}
	authority, _, err := p.roles.get()
	if err != nil {
		return nil, err
	}
	return authority.Certify(rpc.Peer{Role: rpc.RoleValidator, Node: v.Node}, key, time.Now())
}
