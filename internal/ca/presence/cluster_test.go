package presence_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/members"
	"github.com/cairn-ca/cairn/internal/ca/presence"
	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/validate"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// machines are those of one authority, on loopback: all that crosses between them is what would cross a network.
type machines struct {
	t       *testing.T
	db      *store.DB
	members members.Config
	names   acme.Subtrees
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newMachines(t *testing.T) *machines {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "db"), Twice: true})
	check(t, err)
	t.Cleanup(func() { _ = db.Close() })
	certificate, key, err := roles.NewAuthority(time.Now())
	check(t, err)
	authority, err := roles.LoadAuthority(certificate, key)
	check(t, err)
	names, err := acme.ParseSubtrees([]string{"test"})
	check(t, err)
	return &machines{t: t, db: db, names: names, members: members.Config{DB: db, Authority: func() (*roles.Authority, error) { return authority, nil }}}
}

// node is one machine that has come into the cluster.
type node struct {
	*presence.Presence
	pool *rpc.Pool // of its calls
	stop func()    // ends it as a crash does: nobody is told
}

// start starts a machine with one role, that answers the methods that serve adds.
func (m *machines) start(name, role string, serve func(*rpc.Server, *node)) *node {
	m.t.Helper()
	machine, err := roles.OpenMachine(m.t.TempDir())
	check(m.t, err)
	check(m.t, m.members.Own(m.t.Context(), machine, roles.Standing{Node: name, Roles: []string{role}}))
	identity, err := machine.Identity(role)
	check(m.t, err)
	config := rpc.PeersConfig(map[string]rpc.Identity{role: identity}, rpc.Expect{Role: rpc.RoleFront, Roles: []string{rpc.RoleWork, rpc.RoleCRL}})
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	check(m.t, err)
	hash, err := machine.KeyHash()
	check(m.t, err)
	self := store.Node{Node: name, Role: role, Address: listener.Addr().String(), KeyHash: hash[:]}
	n := &node{pool: rpc.NewPool(identity)}
	n.Presence, err = presence.Open(m.t.Context(), presence.Config{
		DB: m.db, Log: slog.New(slog.DiscardHandler), Look: 20 * time.Millisecond,
		Self: func() ([]store.Node, error) { return []store.Node{self}, nil },
	})
	check(m.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { n.Run(ctx); close(ended) }()
	methods := &rpc.Server{Admit: n.Admit}
	serve(methods, n)
	server := &http.Server{Handler: methods, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() { _ = server.Serve(listener); close(done) }()
	n.stop = func() { _ = server.Close(); <-done }
	m.t.Cleanup(func() { n.stop(); cancel(); <-ended; n.pool.Close() })
	return n
}

// signer is the machine with the keys.
func (m *machines) signer(name string) *node {
	rootKey, err := sign.NewKey(elliptic.P384())
	check(m.t, err)
	key, err := sign.NewKey(elliptic.P256())
	check(m.t, err)
	c := sign.CAConfig{CommonName: "root", Names: m.names, NotBefore: time.Now().Add(-time.Hour), Lifetime: 10 * 365 * 24 * time.Hour}
	der, err := sign.NewRoot(rootKey, c)
	check(m.t, err)
	root, err := x509.ParseCertificate(der)
	check(m.t, err)
	c.CommonName, c.CRLURL = "issuer", "http://ca.test/root.crl"
	der, err = sign.NewIntermediate(key.Public(), sign.Issuer{ID: "root-1", Certificate: root, Key: rootKey}, c)
	check(m.t, err)
	issuer, err := x509.ParseCertificate(der)
	check(m.t, err)
	signer, err := sign.New(sign.Config{
		Issuers:  []sign.Issuer{{ID: "1", Certificate: issuer, Key: key, CRLURL: "http://ca.test/1.crl", IssuerURL: "http://ca.test/1.der"}},
		Profiles: []sign.Profile{sign.Classic()}, Journal: work.Journal{DB: m.db},
	})
	check(m.t, err)
	return m.start(name, rpc.RoleSigner, func(s *rpc.Server, _ *node) { sign.Serve(s, sign.ServeConfig{Signer: signer}) })
}

// believes takes every name for proven.
type believes struct{}

func (believes) Prove(context.Context, validate.Request) (validate.Result, error) {
	return validate.Result{}, nil
}

func (believes) CAA(context.Context, validate.CAARequest) (validate.Result, error) {
	return validate.Result{}, nil
}

// worker is a machine that has names validated and certificates made, of which it makes none itself.
func (m *machines) worker(name string) *node {
	return m.start(name, rpc.RoleWork, func(s *rpc.Server, n *node) {
		w := work.New(work.Config{
			DB: m.db, Validator: believes{}, Log: slog.New(slog.DiscardHandler), Poll: 50 * time.Millisecond,
			Signer: &sign.Remote{Signers: n.Clients(n.pool, rpc.RoleSigner)},
		})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { w.Run(ctx); close(ended) }()
		m.t.Cleanup(func() { cancel(); <-ended; _ = w.Stop(context.Background()) })
		work.Serve(s, w)
	})
}

// obtain does what a front does for a client, with the workers that front knows, and returns the order's serial.
func (m *machines) obtain(front *work.Remote) string {
	m.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(m.t, err)
	public, err := acme.NewKey(key.Public())
	check(m.t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"a.test"}}, key)
	check(m.t, err)
	csr, problem := rules.ParseCSR(der)
	if problem != nil {
		m.t.Fatal(problem)
	}
	order, authz := m.place(front, public)
	<-front.Validate(authz)
	m.until("the name is proven", func(tx *store.Tx) (bool, error) {
		a, err := tx.Authz(authz.ID)
		return a.Status == acme.StatusValid, err
	})
	before := order
	check(m.t, m.db.Update(m.t.Context(), func(tx *store.Tx) error {
		authzs, err := tx.Authzs(before.Authzs)
		if err != nil {
			return err
		}
		after, problem := before.Finalize(authzs, csr, front.Lease(tx.Now), tx.Now)
		if problem != nil {
			return problem
		}
		order = after
		return tx.UpdateOrder(before, after)
	}))
	<-front.Issue(order, rules.CSR{})
	m.until("the certificate is there", func(tx *store.Tx) (bool, error) {
		o, err := tx.Order(order.ID)
		order = o
		return o.Serial != "", err
	})
	return order.Serial
}

// place saves an order whose challenge was responded to.
func (m *machines) place(front *work.Remote, key *acme.Key) (order rules.Order, authz rules.Authz) {
	m.t.Helper()
	policy := rules.Policy{Names: m.names, Profiles: []rules.Profile{rules.Classic()}}
	check(m.t, m.db.Update(m.t.Context(), func(tx *store.Tx) error {
		account, problem := rules.NewAccount(policy, key, acme.NewAccount{}, tx.Now)
		if problem != nil {
			return problem
		}
		wanted, problem := rules.ReadNewOrder(policy, acme.NewOrder{Identifiers: []acme.Identifier{{Type: acme.DNS, Value: "a.test"}}})
		if problem != nil {
			return problem
		}
		placed, problem := rules.NewOrder(wanted, rules.Held{Account: account}, tx.Now)
		if problem != nil {
			return problem
		}
		before := placed.New[0]
		if authz, problem = before.Attempt(rules.Answer{Type: acme.HTTP01, Key: key}, front.Lease(tx.Now), tx.Now); problem != nil {
			return problem
		}
		order = placed.Order
		if err := tx.InsertAccount(account); err != nil {
			return err
		}
		if err := tx.InsertOrder(order, placed.New); err != nil {
			return err
		}
		return tx.UpdateAuthz(before, authz)
	}))
	return order, authz
}

// until waits for what other machines do.
func (m *machines) until(what string, done func(*store.Tx) (bool, error)) {
	m.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		ok := false
		check(m.t, m.db.View(m.t.Context(), func(tx *store.Tx) (err error) { ok, err = done(tx); return err }))
		if ok {
			return
		}
		if time.Now().After(end) {
			m.t.Fatalf("never: %s", what)
		}
	}
}

// TestCluster obtains certificates by two workers, of which one breaks down and is removed then.
func TestCluster(t *testing.T) {
	m := newMachines(t)
	m.signer("signer1")
	m.worker("work1")
	broken := m.worker("work2")
	front := m.start("front1", rpc.RoleFront, func(*rpc.Server, *node) {})
	remote := work.NewRemote(work.RemoteConfig{Workers: front.Clients(front.pool, rpc.RoleWork), Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(remote.Close)
	serials := make(map[string]bool)
	for range 3 {
		serials[m.obtain(remote)] = true
	}
	broken.stop()
	for range 3 {
		serials[m.obtain(remote)] = true
	}
	check(t, m.db.Update(t.Context(), func(tx *store.Tx) error { return members.Remove(tx, "work2") }))
	for range 3 {
		serials[m.obtain(remote)] = true
	}
	if len(serials) != 9 {
		t.Errorf("nine orders have the serials %v", serials)
	}
}
