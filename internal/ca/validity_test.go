package ca_test

import (
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/catest"
)

// TestO01AndF09ValidityAsOrdered: the certificate begins and ends as the order says, or there is no order.
func TestO01AndF09ValidityAsOrdered(t *testing.T) {
	authority := catest.Start(t, "")
	client := authority.Client(t)
	if _, err := client.Register(t.Context(), acme.NewAccount{}); err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	for name, test := range map[string]struct{ notBefore, notAfter time.Time }{
		"both":       {now.Add(time.Hour), now.Add(48 * time.Hour)},
		"the first":  {now, time.Time{}},
		"the second": {time.Time{}, now.Add(time.Hour)},
	} {
		ids := []acme.Identifier{{Type: acme.DNS, Value: "a.test"}}
		request := acme.NewOrder{Identifiers: ids}
		if !test.notBefore.IsZero() {
			request.NotBefore = test.notBefore.In(time.FixedZone("elsewhere", 7200)).Format(time.RFC3339)
		}
		if !test.notAfter.IsZero() {
			request.NotAfter = test.notAfter.Format(time.RFC3339)
		}
		order, err := client.NewOrder(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if (order.NotBefore == nil) != test.notBefore.IsZero() || order.NotBefore != nil && !order.NotBefore.Equal(test.notBefore) ||
			(order.NotAfter == nil) != test.notAfter.IsZero() || order.NotAfter != nil && !order.NotAfter.Equal(test.notAfter) {
			t.Errorf("%s: the order says %v to %v", name, order.NotBefore, order.NotAfter)
		}
		if err := catest.Prove(t.Context(), client, authority.Responder, order); err != nil {
			t.Fatal(err)
		}
		got, err := catest.Finalize(t.Context(), client, order, ids)
		if err != nil {
			t.Fatal(err)
		}
		leaf := got.Chain.Certificates[0]
		if !test.notBefore.IsZero() && !leaf.NotBefore.Equal(test.notBefore) || !test.notAfter.IsZero() && !leaf.NotAfter.Equal(test.notAfter) {
			t.Errorf("%s: the certificate is valid from %s to %s", name, leaf.NotBefore, leaf.NotAfter)
		}
	}
	seen := catest.Seen{}
	if err := authority.Stop(); err != nil {
		t.Fatal(err)
	}
	seen.CheckCA(t, authority.Dir)
}
