package ops_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/ops"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// TestEvidenceOfWhatIsGone: evidence is found by the order, the authorization and the name, and for as long as it is kept also where the
// order or the authorization is not kept any more.
func TestEvidenceOfWhatIsGone(t *testing.T) {
	env, closeAll := authority(t, filepath.Join(t.TempDir(), "ca"))
	defer closeAll()
	now := time.Now()
	authz := rules.Authz{ID: rules.NewID(now), Account: "x", Identifier: acme.IdentifierFor("a.test"), Status: acme.StatusValid, Expires: now}
	order := rules.Order{ID: rules.NewID(now), Account: "x", Authzs: []string{authz.ID}, Expires: now}
	update := func(fn func(*store.Tx) error) {
		t.Helper()
		if err := env.DB.Update(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	seen := func(of string) int {
		t.Helper()
		list, err := ops.Evidence.Do(t.Context(), env, ops.EvidenceQuery{Of: of, Limit: 10})
		if err != nil && !strings.Contains(err.Error(), "of older ones, ask for the name") { // some IDs could be a name
			t.Error(err)
		}
		return len(list)
	}
	check := func(when string, byOrder, byAuthz, byName int) {
		t.Helper()
		if o, a, n := seen(order.ID), seen(authz.ID), seen("a.test"); o != byOrder || a != byAuthz || n != byName {
			t.Errorf("%s: found %d by the order, %d by the authorization and %d by the name", when, o, a, n)
		}
	}
	update(func(tx *store.Tx) error { return tx.InsertOrder(order, []rules.Authz{authz}) })
	check("before there is any", 0, 0, 0)
	update(func(tx *store.Tx) error {
		return tx.InsertAttempt(store.Attempt{Authz: authz.ID, At: now, Method: acme.DNS01})
	})
	check("while all is there", 1, 1, 1)
	update(func(tx *store.Tx) error { return tx.DeleteOrder(order) })
	check("without the order", 0, 1, 1)
	update(func(tx *store.Tx) error { return tx.DeleteAuthz(authz) })
	check("without the authorization", 0, 1, 0)
}
