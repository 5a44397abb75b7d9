package members_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/members"
	"github.com/cairn-ca/cairn/internal/ca/presence"
	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// signer is the machine with the roles' CA: it takes others in and renews their certificates, on one port of loopback.
type signer struct {
	t         *testing.T
	db        *store.DB
	authority *roles.Authority
	config    members.Config
	url       string
	admit     func(ctx context.Context, peer rpc.Peer, key [sha256.Size]byte) error
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "db"), Twice: true})
	check(t, err)
	t.Cleanup(func() { _ = db.Close() })
	certificate, key, err := roles.NewAuthority(time.Now())
	check(t, err)
	authority, err := roles.LoadAuthority(certificate, key)
	check(t, err)
	s := &signer{t: t, db: db, authority: authority}
	s.config = members.Config{DB: db, Authority: func() (*roles.Authority, error) { return authority, nil }}
	var open rpc.Server
	peers := rpc.Server{Admit: func(ctx context.Context, peer rpc.Peer, key [sha256.Size]byte) error {
		if s.admit == nil {
			return nil
		}
		return s.admit(ctx, peer, key)
	}}
	members.ServeJoin(&open, s.config)
	members.ServeRenewal(&peers, s.config)
	s.listen(&open, &peers)
	return s
}

// listen answers as the role authority whoever asks for the server that takes hosts in, and as a signer those who show a certificate.
func (s *signer) listen(open, peers http.Handler) {
	s.t.Helper()
	config := s.authority.Identity(rpc.Peer{Role: rpc.RoleSigner, Node: "signer1"}).
		ServerConfig(rpc.Expect{Role: rpc.RoleFront, Roles: []string{rpc.RoleWork, rpc.RoleCRL, rpc.RoleValidator}})
	strangers := s.authority.Identity(rpc.Peer{Role: rpc.RoleAuthority, Node: "main"}).OpenServerConfig()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hello.ServerName == rpc.ServerName {
			return strangers, nil
		}
		return nil, nil
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	check(s.t, err)
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.ServerName == rpc.ServerName {
			open.ServeHTTP(w, r)
			return
		}
		peers.ServeHTTP(w, r)
	})}
	done := make(chan struct{})
	go func() { _ = server.Serve(listener); close(done) }()
	s.t.Cleanup(func() { _ = server.Close(); <-done })
	s.url = "https://" + listener.Addr().String()
}

// token makes a token as the operator does.
func (s *signer) token(node string, list ...string) (made members.Made, err error) {
	err = s.db.Update(s.t.Context(), func(tx *store.Tx) (err error) {
		made, err = members.NewToken(tx, s.authority, node, list)
		return err
	})
	return made, err
}

func machine(t *testing.T) *roles.Machine {
	t.Helper()
	m, err := roles.OpenMachine(t.TempDir())
	check(t, err)
	return m
}

// joined is a machine that has joined under a name.
func (s *signer) joined(node string, list ...string) *roles.Machine {
	s.t.Helper()
	made, err := s.token(node, list...)
	check(s.t, err)
	m := machine(s.t)
	check(s.t, m.Join(s.t.Context(), s.url, made.Token))
	return m
}

func (s *signer) members() (list []store.Member) {
	s.t.Helper()
	check(s.t, s.db.View(s.t.Context(), func(tx *store.Tx) (err error) { list, err = tx.Members(100); return err }))
	return list
}

func TestJoin(t *testing.T) {
	s := newSigner(t)
	made, err := s.token("n1", rpc.RoleFront, rpc.RoleWork)
	check(t, err)
	dir := t.TempDir()
	m, err := roles.OpenMachine(dir)
	check(t, err)
	check(t, m.Join(t.Context(), s.url, made.Token))
	check(t, m.Join(t.Context(), s.url, made.Token)) // as if the answer had been lost
	again, err := roles.OpenMachine(dir)
	check(t, err)
	if again.Node() != "n1" || !slices.Equal(again.Roles(), []string{rpc.RoleFront, rpc.RoleWork}) || again.URL() != s.url {
		t.Errorf("it is %q with the roles %v, of %s", again.Node(), again.Roles(), again.URL())
	}
	info, err := os.Stat(filepath.Join(dir, "cluster.json"))
	check(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("what it keeps has mode %s", info.Mode())
	}
	hash, err := again.KeyHash()
	check(t, err)
	for _, member := range s.members() {
		if member.Node != "n1" || string(member.KeyHash) != string(hash[:]) {
			t.Errorf("member %+v", member)
		}
	}
	for _, role := range []string{rpc.RoleFront, rpc.RoleWork} {
		identity, err := again.Identity(role)
		check(t, err)
		certificate, err := identity.Certificate()
		check(t, err)
		if peer, err := rpc.PeerOf(certificate.Leaf); err != nil || peer != (rpc.Peer{Role: role, Node: "n1"}) {
			t.Errorf("it is %+v: %v", peer, err)
		}
	}
	if _, err := again.Identity(rpc.RoleSigner); err == nil {
		t.Error("it is a signer")
	}
	// Another role later, under the same name and key.
	more, err := s.token("n1", rpc.RoleCRL)
	check(t, err)
	check(t, again.Join(t.Context(), s.url, more.Token))
	if got := again.Roles(); !slices.Equal(got, []string{rpc.RoleCRL, rpc.RoleFront, rpc.RoleWork}) || len(s.members()) != 3 {
		t.Errorf("roles %v, members %+v", got, s.members())
	}
}

func TestJoinIsRefused(t *testing.T) {
	s, other := newSigner(t), newSigner(t)
	made, err := s.token("n1", rpc.RoleFront)
	check(t, err)
	wrong, elsewhere := made.Token, made.Token
	wrong.Secret[0]++
	elsewhere.CA = other.authority.Hash()
	expired := roles.NewToken(s.authority.Hash())
	perspective := roles.NewToken(s.authority.Hash())
	member := s.joined("n3", rpc.RoleFront)
	insert := func(token roles.Token, role string, valid time.Duration) {
		check(t, s.db.Update(t.Context(), func(tx *store.Tx) error {
			return tx.InsertRoleToken(store.RoleToken{ID: token.Name(), Hash: token.Hash(), Role: role, Node: "n2", Expires: tx.Now.Add(valid)})
		}))
	}
	insert(perspective, rpc.RoleValidator, time.Hour)
	insert(expired, rpc.RoleFront, 0) // last: whoever makes another forgets those that have expired
	for name, test := range map[string]struct {
		machine *roles.Machine
		token   roles.Token
		want    string
	}{
		"wrong secret":               {machine(t), wrong, "not known here"},
		"unknown":                    {machine(t), roles.NewToken(s.authority.Hash()), "not known here"},
		"another CA":                 {machine(t), elsewhere, "CA for roles is another one"},
		"expired":                    {machine(t), expired, "expired"},
		"of a perspective":           {machine(t), perspective, "remote perspective"},
		"under another name already": {member, made.Token, "is called \"n3\" already"},
	} {
		if err := test.machine.Join(t.Context(), s.url, test.token); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	check(t, machine(t).Join(t.Context(), s.url, made.Token)) // nobody who was refused has spent it
	for name, ask := range map[string]func() error{
		"an unknown role": func() error { _, err := s.token("n9", "king"); return err },
		"a signer":        func() error { _, err := s.token("n9", rpc.RoleSigner); return err },
		"twice the same":  func() error { _, err := s.token("n9", rpc.RoleFront, rpc.RoleFront); return err },
		"no role":         func() error { _, err := s.token("n9"); return err },
		"no name":         func() error { _, err := s.token("", rpc.RoleFront); return err },
		"a name, taken":   func() error { _, err := s.token("n3", rpc.RoleFront); return err },
		"another machine ": func() error {
			m, err := s.token("n3", rpc.RoleCRL)
			check(t, err)
			return machine(t).Join(t.Context(), s.url, m.Token)
		},
	} {
		if err := ask(); err == nil {
			t.Errorf("%s: it was not refused", name)
		}
	}
}

// asRole calls the signer as a machine in one of its roles.
func (s *signer) asRole(m *roles.Machine, role string) []rpc.Client {
	s.t.Helper()
	identity, err := m.Identity(role)
	check(s.t, err)
	pool := rpc.NewPool(identity)
	s.t.Cleanup(pool.Close)
	return []rpc.Client{pool.Client(strings.TrimPrefix(s.url, "https://"), rpc.Expect{Role: rpc.RoleSigner})}
}

// csrOf makes a CSR with the key of a machine that joins a server that only listens.
func csrOf(t *testing.T, m *roles.Machine, authority *roles.Authority) (csr []byte) {
	t.Helper()
	server := rpc.Server{}
	rpc.Handle(&server, roles.JoinMethod, func(_ context.Context, r roles.JoinRequest) (roles.JoinResponse, error) {
		csr = r.CSR
		return roles.JoinResponse{}, rpc.Refuse("enough")
	})
	listening := &signer{t: t, authority: authority}
	listening.listen(&server, http.NotFoundHandler())
	if err := m.Join(t.Context(), listening.url, roles.NewToken(authority.Hash())); err == nil || csr == nil {
		t.Fatal("no CSR came")
	}
	return csr
}

func TestRenewal(t *testing.T) {
	s := newSigner(t)
	m := s.joined("n1", rpc.RoleFront, rpc.RoleWork)
	stranger := machine(t)
	own, others := csrOf(t, m, s.authority), csrOf(t, stranger, s.authority)
	renew := func(role string, csr []byte) ([]byte, error) {
		return rpc.Call[[]byte, []byte](t.Context(), s.asRole(m, role)[0], roles.RenewMethod, csr)
	}
	der, err := renew(rpc.RoleWork, own)
	check(t, err)
	if len(der) == 0 {
		t.Error("no certificate came")
	}
	if _, err := renew(rpc.RoleWork, others); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("for another key: %v", err)
	}
	if _, err := renew(rpc.RoleWork, []byte("no CSR")); err == nil {
		t.Error("for no CSR at all")
	}
	check(t, s.db.Update(t.Context(), func(tx *store.Tx) error { return members.Remove(tx, "n1") }))
	var refused *rpc.Refusal
	if _, err := renew(rpc.RoleWork, own); !errors.As(err, &refused) || refused.Code != rpc.CodeForbidden {
		t.Errorf("of a machine that was removed: %v", err)
	}
}

// TestRenewed has a machine renew what is nearly over: its clock begins where it was certified long ago.
func TestRenewed(t *testing.T) {
	s := newSigner(t)
	m := machine(t)
	old := roles.Lifetime - 24*time.Hour
	check(t, m.Certify(s.authority, roles.Standing{Node: "n1", Roles: []string{rpc.RoleWork}, Now: time.Now().Add(-old)}))
	hash, err := m.KeyHash()
	check(t, err)
	check(t, s.db.Update(t.Context(), func(tx *store.Tx) error {
		return tx.InsertMember(store.Member{Node: "n1", Role: rpc.RoleWork, KeyHash: hash[:], Added: tx.Now})
	}))
	clients := s.asRole(m, rpc.RoleWork)
	c := roles.RenewConfig{Log: slog.New(slog.DiscardHandler), Signers: func(context.Context, string) ([]rpc.Client, error) { return clients, nil }}
	end := func() time.Time {
		identity, err := m.Identity(rpc.RoleWork)
		check(t, err)
		certificate, err := identity.Certificate()
		check(t, err)
		return certificate.Leaf.NotAfter
	}
	before := end()
	check(t, m.Renew(t.Context(), c, rpc.RoleWork))
	if !end().After(before) {
		t.Errorf("it ended at %s and ends at %s", before, end())
	}
}

// TestRemoved has a machine go on calling, on the connection that it has.
func TestRemoved(t *testing.T) {
	s := newSigner(t)
	m := s.joined("n1", rpc.RoleWork)
	p, err := presence.Open(t.Context(), presence.Config{DB: s.db, Log: slog.New(slog.DiscardHandler), Look: 20 * time.Millisecond})
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { p.Run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	s.admit = p.Admit
	csr := csrOf(t, m, s.authority)
	client := s.asRole(m, rpc.RoleWork)[0]
	call := func() error {
		_, err := rpc.Call[[]byte, []byte](t.Context(), client, roles.RenewMethod, csr)
		return err
	}
	check(t, call())
	check(t, s.db.Update(t.Context(), func(tx *store.Tx) error { return members.Remove(tx, "n1") }))
	for end := time.Now().Add(10 * time.Second); call() == nil; {
		if time.Now().After(end) {
			t.Fatal("it is still answered")
		}
	}
	list := []members.Shown{}
	check(t, s.db.View(t.Context(), func(tx *store.Tx) (err error) { list, err = members.List(tx); return err }))
	if len(list) != 0 {
		t.Errorf("members: %+v", list)
	}
}

// TestOwn makes the signer's machine a member, each time that it starts, and after it was made anew.
func TestOwn(t *testing.T) {
	s := newSigner(t)
	m := machine(t)
	for range 2 {
		check(t, s.config.Own(t.Context(), m, roles.Standing{Node: "signer1", Roles: []string{rpc.RoleSigner, rpc.RoleCRL}}))
	}
	first, err := m.KeyHash()
	check(t, err)
	next := machine(t)
	check(t, s.config.Own(t.Context(), next, roles.Standing{Node: "signer1", Roles: []string{rpc.RoleSigner, rpc.RoleCRL}}))
	second, err := next.KeyHash()
	check(t, err)
	list := s.members()
	if len(list) != 2 || first == second || string(list[0].KeyHash) != string(second[:]) || string(list[1].KeyHash) != string(second[:]) {
		t.Errorf("members %+v", list)
	}
	if err := s.config.Own(t.Context(), m, roles.Standing{Node: "signer2", Roles: []string{rpc.RoleSigner}}); err == nil {
		t.Error("a machine changed its name")
	}
}
