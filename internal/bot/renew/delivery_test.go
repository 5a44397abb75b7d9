package renew_test

import (
	"crypto/x509"
	"errors"
	"math"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

func TestADeploymentIsTriedAgainAndNotForEver(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	leaf, other := &x509.Certificate{Raw: []byte{1}}, &x509.Certificate{Raw: []byte{2}}
	for endless, want := range map[bool]int{false: 4, true: 20} {
		d := renew.NewDelivery("a", leaf)
		if !d.Of(leaf) || d.Of(other) {
			t.Error("it is about another certificate")
		}
		at := now
		for range 20 {
			d.Tried([]string{"good"}, []string{"bad"}, nil, endless, at)
			if d.Next.IsZero() {
				break
			}
			if d.Due(at) || !d.Due(d.Next) || d.Next.Sub(at) > 36*time.Hour || d.Complete() {
				t.Fatalf("%+v", d)
			}
			at = d.Next
		}
		if d.Attempts != want || !reflect.DeepEqual(d.Done, []string{"good"}) || !d.First.Equal(now) {
			t.Errorf("endless %v: %+v", endless, d)
		}
	}
}

func TestDeploymentsAreKeptUntilTheyAreComplete(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deliveries")
	kept := renew.OpenDeliveries(dir)
	d := renew.NewDelivery("a.test", &x509.Certificate{Raw: []byte{1}})
	d.Tried(nil, []string{"bad"}, []string{"x shows y"}, false, time.Now())
	if err := kept.Keep(d); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "broken.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if all, err := kept.All(); err != nil || len(all) != 1 || !reflect.DeepEqual(all[0], d) {
		t.Errorf("%+v, %v", all, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "a.test.json")); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	d.Tried([]string{"bad"}, nil, nil, false, time.Now())
	if err := kept.Keep(d); err != nil {
		t.Fatal(err)
	}
	if all, err := kept.All(); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	d.Lineage = "../x"
	if err := kept.Keep(d); err == nil {
		t.Error("it was kept outside the directory")
	}
}

// TestADeliveryThatWasTamperedWith is tried as one of which nothing is known.
func TestADeliveryThatWasTamperedWith(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, attempts := range []int{-5, -1, math.MaxInt} {
		d := renew.Delivery{Lineage: "a.test", Attempts: attempts}
		d.Tried(nil, []string{"reload"}, nil, true, now)
		if !d.Next.After(now) || d.Next.After(now.Add(48*time.Hour)) {
			t.Errorf("%d attempts: the next is at %s", attempts, d.Next)
		}
	}
}

// TestAdviceThatWasTamperedWith is asked for again in good time.
func TestAdviceThatWasTamperedWith(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	id, problem := acme.ParseCertID("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")
	if problem != nil {
		t.Fatal(problem)
	}
	before := &renew.Advice{Certificate: id.String(), Server: "s", Tries: -7}
	after := renew.Unadvised(before, id, "s", &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("refused")}, 0, now)
	if !after.Next.After(now) || after.Next.After(now.Add(24*time.Hour)) {
		t.Errorf("the CA is asked again at %s", after.Next)
	}
}
