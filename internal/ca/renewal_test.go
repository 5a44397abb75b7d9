package ca_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/catest"
	"github.com/cairn-ca/cairn/internal/ca/ops"
)

// TestRenewal goes the whole way of RFC 9773: a client asks when to renew, the operator wants it
// done at once, the client orders what replaces the certificate, and nobody replaces it again.
func TestRenewal(t *testing.T) {
	a := catest.Start(t, "")
	client := registered(t, a)
	first, err := ordered(t, a, client, catest.NewKey(t), "shortlived", "a.test")
	if err != nil {
		t.Fatal(err)
	}
	leaf := first.Certificates[0]
	id, err := acme.CertIDOf(leaf)
	if err != nil {
		t.Fatal(err)
	}
	half := leaf.NotBefore.Add(80 * time.Hour)
	info := renewalInfo(t, a, id)
	if window := info.SuggestedWindow; window.Start.After(half) || window.End.Before(half) || window.End.Sub(window.Start) != 192*time.Minute {
		t.Errorf("the window is %+v, around %s", window, half)
	}
	caller := ops.Caller{Dir: a.Dir, Log: slog.New(slog.DiscardHandler)}
	asked := ops.RenewalRequest{Serials: []string{id.Serial()}, Explanation: "https://ca.test/why"}
	if n, err := ops.Run(t.Context(), caller, ops.SetRenewals, asked); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if info = renewalInfo(t, a, id); info.SuggestedWindow.End.After(time.Now()) || info.ExplanationURL != asked.Explanation {
		t.Errorf("when the operator wants it at once: %+v", info)
	}
	ids := []acme.Identifier{acme.IdentifierFor("a.test")}
	order, err := client.NewOrder(t.Context(), acme.NewOrder{Identifiers: ids, Profile: "shortlived", Replaces: id.String()})
	if err != nil {
		t.Fatal(err)
	}
	if order.Replaces != id.String() || order.Status != acme.StatusReady {
		t.Errorf("the order is %+v", order)
	}
	second, err := catest.Finalize(t.Context(), client, order, ids)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.NewOrder(t.Context(), acme.NewOrder{Identifiers: ids, Replaces: id.String()}); !isProblem(err, acme.TypeAlreadyReplaced) {
		t.Errorf("replacing it again: %v", err)
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	catest.CheckCA(t, a.Dir, leaf, second.Chain.Certificates[0])
}

// renewalInfo asks as anybody can.
func renewalInfo(t *testing.T, a *catest.Authority, id acme.CertID) (info acme.RenewalInfo) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL()+"/renewal-info/"+id.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := trusting(a.Page().Root).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || response.Header.Get("Retry-After") == "" {
		t.Fatalf("status %d, headers %v", response.StatusCode, response.Header)
	}
	if err := json.NewDecoder(response.Body).Decode(&info); err != nil {
		t.Fatal(err)
	}
	return info
}

// trusting is an HTTP client that trusts root alone.
func trusting(root *x509.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(root)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

func isProblem(err error, kind acme.ProblemType) bool {
	var problem *acme.Problem
	return errors.As(err, &problem) && problem.Type == kind
}
