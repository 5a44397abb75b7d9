package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/store"
)

func testMembers(t *testing.T, open opener) {
	db := open(t)
	added := time.Now().UTC().Truncate(time.Millisecond)
	front := store.Member{Node: "a", Role: "front", KeyHash: []byte{1}, Added: added}
	work := store.Member{Node: "a", Role: "work", KeyHash: []byte{1}, Added: added}
	update(t, db, func(tx *store.Tx) error { return tx.InsertMember(work) })
	update(t, db, func(tx *store.Tx) error { return tx.InsertMember(front) })
	refused(t, db, store.ErrExists, func(tx *store.Tx) error {
		return tx.InsertMember(store.Member{Node: "a", Role: "front", KeyHash: []byte{2}})
	})
	list := get(t, db, func(tx *store.Tx) ([]store.Member, error) { return tx.Members(10) })
	if len(list) != 2 || list[0].Role != "front" || list[1].Role != "work" || list[0].KeyHash[0] != 1 || !list[0].Added.Equal(added) {
		t.Errorf("members: %+v", list)
	}
	update(t, db, func(tx *store.Tx) error { return tx.DeleteMember("a", "front") })
	refused(t, db, store.ErrNotFound, func(tx *store.Tx) error { return tx.DeleteMember("a", "front") })
	refused(t, db, store.ErrNotFound, func(tx *store.Tx) error { _, err := tx.Member("a", "front"); return err })
	if m := get(t, db, func(tx *store.Tx) (store.Member, error) { return tx.Member("a", "work") }); m.Role != "work" {
		t.Errorf("what is left: %+v", m)
	}
}

func testNodes(t *testing.T, open opener) {
	db := open(t)
	note := func(node, role, instance string) time.Time {
		var at time.Time
		update(t, db, func(tx *store.Tx) error {
			at = tx.Now
			return tx.NoteNode(store.Node{Node: node, Role: role, Address: node + ":1", KeyHash: []byte{1}, Instance: instance, Version: "v"})
		})
		return at
	}
	names := func(role string, since time.Time) (list []string) {
		for _, n := range get(t, db, func(tx *store.Tx) ([]store.Node, error) { return tx.Nodes(role, since, 10) }) {
			list = append(list, n.Node+n.Role+n.Instance)
		}
		return list
	}
	first := note("a", "front", "1")
	note("b", "work", "")
	last := note("a", "front", "2") // it was restarted
	if got := names("", first.Add(-time.Second)); !slices.Equal(got, []string{"afront2", "bwork"}) {
		t.Errorf("all: %v", got)
	}
	if got := names("work", first.Add(-time.Second)); !slices.Equal(got, []string{"bwork"}) {
		t.Errorf("workers: %v", got)
	}
	if got := names("", last); len(got) != 0 {
		t.Errorf("seen later than the last: %v", got)
	}
	update(t, db, func(tx *store.Tx) error { return tx.DropNode("a", "front", "1") }) // of the process before
	update(t, db, func(tx *store.Tx) error { return tx.DropNode("b", "work", "") })
	if got := names("", first.Add(-time.Second)); !slices.Equal(got, []string{"afront2"}) {
		t.Errorf("after one has ended: %v", got)
	}
}
