package ca_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
)

func TestParseRoles(t *testing.T) {
	all, err := ca.ParseRoles("front,work,signer,validator,crl,ops")
	if err != nil || all.String() != ca.AllRoles().String() {
		t.Errorf("all roles are read as %v, %v", all, err)
	}
	for _, text := range []string{"", "front,", "Front", "front,front", "front work", "admin"} {
		if roles, err := ca.ParseRoles(text); err == nil {
			t.Errorf("%q is read as %v", text, roles)
		}
	}
}

// TestRolesThatCannotBe: what would wait for ever, or need keys that are not there, is refused before anything is made.
func TestRolesThatCannotBe(t *testing.T) {
	for _, c := range []struct{ roles, database, want string }{
		{"front", "", "database"},
		{"signer", "", "database"},
		{"signer,ops,crl", "", "database"},
		{"front,ops", "postgres:///cairn", "ops belongs"},
		{"front,validator", "postgres:///cairn", "validator goes with work"},
		{"signer", "postgres:///cairn", "url: "},
	} {
		roles, err := ca.ParseRoles(c.roles)
		if err != nil {
			t.Fatal(err)
		}
		config := catest.Config(t, filepath.Join(t.TempDir(), "ca"), 80)
		config.Roles, config.Database = roles, c.database
		if _, err := ca.Open(t.Context(), config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with the database %q: %v, want %q", c.roles, c.database, err, c.want)
		}
		if _, err := os.Stat(config.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the data directory was made", c.roles)
		}
	}
}

// TestAnotherAuthoritysDatabase: certificates of one authority never get into the database of another.
func TestAnotherAuthoritysDatabase(t *testing.T) {
	ours, theirs := catest.Start(t, ""), catest.Start(t, "")
	for _, a := range []*catest.Authority{ours, theirs} {
		if err := a.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	database, err := os.ReadFile(filepath.Join(theirs.Dir, "cairn.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(ours.Dir, "cairn.db"), database, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = catest.Open(t.Context(), catest.Config(t, ours.Dir, 80))
	if err == nil || !strings.Contains(err.Error(), "belongs to another authority") {
		t.Errorf("the database of another authority is used: %v", err)
	}
}
