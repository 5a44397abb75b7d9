package presence_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/presence"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// cluster is a database of which some hosts are members, in a bubble of its own time.
type cluster struct {
	t  *testing.T
	db *store.DB
}

func inBubble(t *testing.T, test func(t *testing.T, c *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "db"), Twice: true})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		test(t, &cluster{t: t, db: db})
	})
}

func (c *cluster) update(fn func(*store.Tx) error) {
	c.t.Helper()
	if err := c.db.Update(c.t.Context(), fn); err != nil {
		c.t.Fatal(err)
	}
}

// keyOf is the hash of the key that a host joined with.
func keyOf(node string) [32]byte {
	var key [32]byte
	copy(key[:], node)
	return key
}

// node is a host, which is made a member as front and as worker.
func (c *cluster) node(name string) func() ([]store.Node, error) {
	c.t.Helper()
	key := keyOf(name)
	var self []store.Node
	for _, role := range []string{rpc.RoleFront, rpc.RoleWork} {
		c.update(func(tx *store.Tx) error {
			return tx.InsertMember(store.Member{Node: name, Role: role, KeyHash: key[:]})
		})
		self = append(self, store.Node{Node: name, Role: role, Address: name + ":9444", KeyHash: key[:], Instance: "of-" + name})
	}
	return func() ([]store.Node, error) { return self, nil }
}

// open starts a presence that runs until end is called.
func (c *cluster) open(self func() ([]store.Node, error)) (p *presence.Presence, end func()) {
	c.t.Helper()
	p, err := presence.Open(c.t.Context(), presence.Config{DB: c.db, Self: self, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { p.Run(ctx); close(ended) }()
	return p, func() { cancel(); <-ended }
}

// there lists the names of the nodes with a role that p knows.
func there(t *testing.T, p *presence.Presence, role string) (names []string) {
	t.Helper()
	nodes, err := p.Nodes(role)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		names = append(names, n.Node)
	}
	return names
}

func TestWhoIsThere(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		a, end := c.open(c.node("a"))
		defer end()
		selfB := c.node("b")
		_, endB := c.open(selfB)
		time.Sleep(2 * time.Second)
		if got := there(t, a, rpc.RoleFront); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("a second after b has come: %v", got)
		}
		endB()
		time.Sleep(2 * time.Second)
		if got := there(t, a, rpc.RoleFront); !slices.Equal(got, []string{"a"}) {
			t.Errorf("a second after b has ended: %v", got)
		}
		// One that dies cannot take leave.
		if _, err := presence.Open(t.Context(), presence.Config{DB: c.db, Self: selfB}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		if got := there(t, a, rpc.RoleWork); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("within three periods after b has died: %v", got)
		}
		time.Sleep(10 * time.Second)
		if got := there(t, a, ""); !slices.Equal(got, []string{"a", "a"}) {
			t.Errorf("after three periods: %v", got)
		}
	})
}

// TestOnlyMembers has hosts note themselves that were not taken in, or with another key.
func TestOnlyMembers(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		c.node("b")
		for _, n := range []store.Node{{Node: "x", Role: rpc.RoleWork}, {Node: "b", Role: rpc.RoleSigner}, {Node: "b", Role: rpc.RoleWork}} {
			n.Address, n.KeyHash = "x:1", []byte("another key")
			c.update(func(tx *store.Tx) error { return tx.NoteNode(n) })
		}
		a, end := c.open(c.node("a"))
		defer end()
		if got := there(t, a, ""); !slices.Equal(got, []string{"a", "a"}) {
			t.Errorf("it takes in %v", got)
		}
	})
}

func TestRemovedIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		a, end := c.open(c.node("a"))
		defer end()
		peer := rpc.Peer{Role: rpc.RoleWork, Node: "b"}
		admitted := func(peer rpc.Peer, key [32]byte) bool {
			err := a.Admit(t.Context(), peer, key)
			var refused *rpc.Refusal
			if err != nil && (!errors.As(err, &refused) || refused.Code != rpc.CodeForbidden) {
				t.Errorf("%v", err)
			}
			return err == nil
		}
		_, endB := c.open(c.node("b"))
		defer endB()
		time.Sleep(2 * time.Second)
		if !admitted(peer, keyOf("b")) {
			t.Error("a member is refused")
		}
		if admitted(peer, keyOf("c")) || admitted(rpc.Peer{Role: rpc.RoleOps, Node: "b"}, keyOf("b")) {
			t.Error("another key, or another role, is admitted")
		}
		c.update(func(tx *store.Tx) error { return tx.DeleteMember("b", rpc.RoleWork) })
		time.Sleep(2 * time.Second)
		if admitted(peer, keyOf("b")) {
			t.Error("a host that was removed is admitted, two seconds later")
		}
		if got := there(t, a, rpc.RoleWork); !slices.Equal(got, []string{"a"}) {
			t.Errorf("and called: %v", got)
		}
	})
}

// TestDatabaseIsGone leaves what is known, for a while.
func TestDatabaseIsGone(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		a, end := c.open(c.node("a"))
		defer end()
		if err := c.db.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if got := there(t, a, rpc.RoleFront); !slices.Equal(got, []string{"a"}) {
			t.Errorf("after half a minute: %v", got)
		}
		time.Sleep(time.Minute)
		if _, err := a.Nodes(rpc.RoleFront); err == nil {
			t.Error("what was read long ago still counts")
		}
		var refused *rpc.Refusal
		if err := a.Admit(t.Context(), rpc.Peer{Role: rpc.RoleFront, Node: "a"}, keyOf("a")); err == nil || errors.As(err, &refused) {
			t.Errorf("a peer that nothing is known of any more: %v", err)
		}
	})
}

func TestInstance(t *testing.T) {
	inBubble(t, func(t *testing.T, c *cluster) {
		a, end := c.open(c.node("a"))
		defer end()
		pool := rpc.NewPool(rpc.Identity{})
		if found, ok := a.Instance(pool, "of-a"); !ok || found.URL != "https://a:9444" {
			t.Errorf("the front that makes the nonces: %+v, %v", found, ok)
		}
		for _, unknown := range []string{"", "of-b"} {
			if _, ok := a.Instance(pool, unknown); ok {
				t.Errorf("there is a front for %q", unknown)
			}
		}
		clients, err := a.Clients(pool, rpc.RoleWork)(t.Context())
		if err != nil || len(clients) != 1 || clients[0].URL != "https://a:9444" {
			t.Errorf("workers: %+v, %v", clients, err)
		}
	})
}
