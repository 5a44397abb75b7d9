//go:build unix

package datadir_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca/datadir"
)

func TestRoles(t *testing.T) {
	path := newValid(t)
	d := mustOpen(t, datadir.Config{Dir: path})
	if _, found, err := d.Roles(); found || err != nil {
		t.Errorf("Roles of a directory without: %v, %v", found, err)
	}
	if _, err := d.AddRoles(func() ([]byte, []byte, error) { return nil, nil, errors.New("no key") }); err == nil {
		t.Error("AddRoles took what could not be made")
	}
	var all sync.WaitGroup
	for range 8 { // whoever asks first has it made
		all.Go(func() {
			pair, err := d.AddRoles(func() ([]byte, []byte, error) { return []byte("certificate"), []byte("key"), nil })
			if err != nil || pair.Number != 1 || string(pair.Key) != "key" {
				t.Errorf("AddRoles = %+v, %v", pair, err)
			}
		})
	}
	all.Wait()
	key := filepath.Join(path, "roles", "1", "ca.key")
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info, err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Roles(); !errors.Is(err, datadir.ErrIncomplete) || !strings.Contains(err.Error(), key) {
		t.Errorf("Roles without the key: %v", err)
	}
	if _, err := d.AddRoles(func() ([]byte, []byte, error) { return []byte("other"), []byte("other"), nil }); err == nil {
		t.Error("a CA whose key is missing was replaced")
	}
}

// TestKilledAddRoles kills the making of the CA for roles: it is there whole, or not at all.
func TestKilledAddRoles(t *testing.T) {
	seen := map[string]int{}
	killEverywhere(t, "roles", func() string { return newValid(t) }, func(t *testing.T, dir string) {
		pair, found, err := mustOpen(t, datadir.Config{Dir: dir}).Roles()
		if err != nil {
			t.Fatal(err)
		}
		left := string(pair.Certificate) + ", " + string(pair.Key)
		if found != (left == "roles, roles key") {
			t.Errorf("Roles = %s, %v", left, found)
		}
		if _, err := os.Stat(filepath.Join(dir, "roles", "1.new")); err == nil {
			t.Error("what was on its way is still there")
		}
		seen[left]++
	})
	if len(seen) != 2 {
		t.Errorf("kills left %v, want the CA and none", seen)
	}
}
