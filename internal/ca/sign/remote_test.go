package sign_test

import (
	"context"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/sign"
)

// cluster is a signer's server on loopback, with the CA for roles of whoever calls it.
type cluster struct {
	hierarchy
	roles   *roles.Authority
	journal *memory
	address string
}

// contested is a journal in which another signer is always first at the order "twice".
type contested struct{ *memory }

func (c contested) Reserve(ctx context.Context, e sign.Entry, replaces string) error {
	if e.Order == "twice" {
		return sign.ErrConflict
	}
	return c.memory.Reserve(ctx, e, replaces)
}

// ownName is what the front called "front1" may call its server.
var ownName = acme.Identifier{Type: acme.DNS, Value: "ca.internal"}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	certificate, key, err := roles.NewAuthority(time.Now())
	check(t, err)
	authority, err := roles.LoadAuthority(certificate, key)
	check(t, err)
	c := &cluster{hierarchy: newHierarchy(t, "internal"), roles: authority, journal: newMemory()}
	own := sign.Classic()
	own.Name = "own"
	signer, err := sign.New(sign.Config{Issuers: []sign.Issuer{c.intermediate}, Profiles: []sign.Profile{sign.Classic(), own}, Journal: contested{c.journal}})
	check(t, err)
	var server rpc.Server
	sign.Serve(&server, sign.ServeConfig{Signer: signer, OwnProfile: "own", OwnNames: func(node string) []acme.Identifier {
		if node != "front1" {
			return nil
		}
		return []acme.Identifier{ownName}
	}})
	identity := authority.Identity(rpc.Peer{Role: rpc.RoleSigner, Node: "signer1"})
	c.address = serveTLS(t, &server, identity.ServerConfig(rpc.Expect{Role: rpc.RoleWork, Roles: []string{rpc.RoleCRL, rpc.RoleFront, rpc.RoleOps}}))
	return c
}

func serveTLS(t *testing.T, handler http.Handler, config *tls.Config) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	check(t, err)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() { _ = server.Serve(listener); close(done) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return listener.Addr().String()
}

// as is the signer as a role sees it, behind the addresses in before that come first.
func (c *cluster) as(t *testing.T, role, node string, more ...string) *sign.Remote {
	pool := rpc.NewPool(c.roles.Identity(rpc.Peer{Role: role, Node: node}))
	t.Cleanup(pool.Close)
	var clients []rpc.Client
	for _, address := range append(more, c.address) {
		clients = append(clients, pool.Client(address, rpc.Expect{Role: rpc.RoleSigner}))
	}
	return &sign.Remote{Signers: func(context.Context) ([]rpc.Client, error) { return clients, nil }}
}

func TestRemoteSigner(t *testing.T) {
	c := newCluster(t)
	work := c.as(t, rpc.RoleWork, "work1")
	request := c.request("order", "a.internal")
	first, err := work.Certificate(t.Context(), request)
	check(t, err)
	if got := parse(t, first.DER); !slices.Equal(got.DNSNames, []string{"a.internal"}) || first.Serial != hexSerial(got) || !first.NotAfter.Equal(got.NotAfter) {
		t.Errorf("a certificate %+v with the fields %+v", got, first)
	}
	again, err := work.Certificate(t.Context(), request)
	check(t, err)
	if again.Serial != first.Serial {
		t.Errorf("asked again for the order: %s, after %s", again.Serial, first.Serial)
	}
	list, err := c.as(t, rpc.RoleCRL, "crl1").CRL(t.Context(), crlRequest(c.intermediate.ID, 7, sign.Revocation{Serial: first.Serial, At: time.Now(), Reason: 1}))
	check(t, err)
	if len(list) == 0 {
		t.Error("no CRL came")
	}
}

// TestRemoteErrors are those that a worker tells apart, and no others.
func TestRemoteErrors(t *testing.T) {
	c := newCluster(t)
	work := c.as(t, rpc.RoleWork, "work1")
	outside := c.request("outside", "www.example.org")
	if _, err := work.Certificate(t.Context(), outside); !errors.Is(err, sign.ErrRefused) || errors.Is(err, sign.ErrValidity) || !strings.Contains(err.Error(), "name constraints") {
		t.Errorf("a name outside: %v", err)
	}
	late := c.request("late", "a.internal")
	late.NotAfter = time.Now().Add(10 * 365 * 24 * time.Hour).Truncate(time.Second)
	if _, err := work.Certificate(t.Context(), late); !errors.Is(err, sign.ErrRefused) || !errors.Is(err, sign.ErrValidity) {
		t.Errorf("a validity that is too long: %v", err)
	}
	twice := c.request("twice", "a.internal")
	if _, err := work.Certificate(t.Context(), twice); !errors.Is(err, sign.ErrConflict) || errors.Is(err, sign.ErrRefused) {
		t.Errorf("another signer at the order: %v", err)
	}
	_, err := c.as(t, rpc.RoleCRL, "crl1").CRL(t.Context(), crlRequest("unknown", 1))
	if err == nil || errors.Is(err, sign.ErrRefused) || strings.Contains(err.Error(), "unknown") {
		t.Errorf("an internal error crossed: %v", err)
	}
}

// TestWhoMayCall has each role call what is not for it.
func TestWhoMayCall(t *testing.T) {
	c := newCluster(t)
	key := newKey(t, elliptic.P256()).Public()
	ask := map[string]func(*sign.Remote) error{
		"certificate": func(r *sign.Remote) error {
			_, err := r.Certificate(t.Context(), c.request("o", "a.internal"))
			return err
		},
		"crl": func(r *sign.Remote) error {
			_, err := r.CRL(t.Context(), crlRequest(c.intermediate.ID, 1))
			return err
		},
		"own": func(r *sign.Remote) error {
			_, err := r.Own(t.Context(), key, []acme.Identifier{ownName})
			return err
		},
	}
	allowed := map[string]string{rpc.RoleWork: "certificate", rpc.RoleCRL: "crl", rpc.RoleFront: "own", rpc.RoleOps: "", rpc.RoleValidator: "", rpc.RoleSigner: "", rpc.RoleAuthority: ""}
	for role, may := range allowed {
		for method, call := range ask {
			err := call(c.as(t, role, "front1"))
			if (err == nil) != (method == may) || errors.Is(err, sign.ErrRefused) {
				t.Errorf("role %s calls %s: %v", role, method, err)
			}
		}
	}
}

// TestOwnNames is what a front can have for its server, and what a worker cannot have in its name.
func TestOwnNames(t *testing.T) {
	c := newCluster(t)
	front := c.as(t, rpc.RoleFront, "front1")
	key := newKey(t, elliptic.P256()).Public()
	first, err := front.Own(t.Context(), key, []acme.Identifier{ownName})
	check(t, err)
	again, err := front.Own(t.Context(), key, []acme.Identifier{ownName})
	check(t, err)
	if first.Serial != again.Serial {
		t.Errorf("one key got two certificates")
	}
	other := acme.Identifier{Type: acme.DNS, Value: "bank.internal"}
	if _, err := front.Own(t.Context(), key, []acme.Identifier{ownName, other}); err == nil || !strings.Contains(err.Error(), "bank.internal") {
		t.Errorf("a name that is not the front's: %v", err)
	}
	if _, err := c.as(t, rpc.RoleFront, "front2").Own(t.Context(), key, []acme.Identifier{ownName}); err == nil {
		t.Error("a front got a certificate for the name of another")
	}
	work := c.as(t, rpc.RoleWork, "work1")
	request := c.request("order", "a.internal")
	request.Profile = "own"
	if _, err := work.Certificate(t.Context(), request); err == nil {
		t.Error("a worker got a certificate of the profile for fronts")
	}
	if _, err := work.Certificate(t.Context(), c.request("https-front1-00", "a.internal")); err == nil {
		t.Error("a worker got a certificate for a front's order")
	}
}

// TestNextSigner has signers that are not there, and one that hangs up.
func TestNextSigner(t *testing.T) {
	c := newCluster(t)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	check(t, gone.Close())
	broken := serveTLS(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
		c.roles.Identity(rpc.Peer{Role: rpc.RoleSigner, Node: "signer2"}).ServerConfig(rpc.Expect{Role: rpc.RoleWork}))
	work := c.as(t, rpc.RoleWork, "work1", gone.Addr().String(), broken)
	for range 10 {
		_, err := work.Certificate(t.Context(), c.request("order", "a.internal"))
		check(t, err)
	}
	none := sign.Remote{Signers: func(context.Context) ([]rpc.Client, error) { return nil, nil }}
	if _, err := none.Certificate(t.Context(), c.request("order", "a.internal")); !errors.Is(err, rpc.ErrNoServer) {
		t.Errorf("no signer: %v", err)
	}
}

// TestHostileCaller sends what no worker of ours sends.
func TestHostileCaller(t *testing.T) {
	c := newCluster(t)
	pool := rpc.NewPool(c.roles.Identity(rpc.Peer{Role: rpc.RoleWork, Node: "work1"}))
	t.Cleanup(pool.Close)
	client := pool.Client(c.address, rpc.Expect{Role: rpc.RoleSigner})
	key, err := x509.MarshalPKIXPublicKey(c.leafKey.Public())
	check(t, err)
	for name, body := range map[string]map[string]any{
		"no key":               {"order": "o", "profile": "classic"},
		"no SubjectPublicKey":  {"order": "o", "profile": "classic", "key": []byte("no key")},
		"a key of a megabyte":  {"order": "o", "profile": "classic", "key": make([]byte, 1<<20)},
		"an order of 10,000":   {"order": strings.Repeat("o", 10000), "profile": "classic"},
		"an order that is a 7": {"order": 7},
		"a name not normal": {"order": "o", "profile": "classic", "key": key,
			"identifiers": []acme.Identifier{{Type: acme.DNS, Value: "A.internal"}}},
	} {
		if _, err := rpc.Call[map[string]any, map[string]any](t.Context(), client, "certificate", body); err == nil {
			t.Errorf("%s: it was answered", name)
		}
	}
	if len(c.journal.serials) != 0 {
		t.Errorf("the journal heard of it: %v", c.journal.serials)
	}
}
