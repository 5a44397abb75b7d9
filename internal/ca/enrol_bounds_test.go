package ca_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
	"github.com/cairn-ca/cairn/internal/ca/ops"
	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
)

// stranger calls the server of the roles of a, which a token of it pins, and can make requests to join with that token.
func stranger(t *testing.T, a *catest.Authority) (rpc.Client, roles.EnrolRequest) {
	t.Helper()
	token, err := roles.ParseToken(operator(t, a.Dir, ops.CreateValidatorToken, ops.ValidatorTokenRequest{Node: "fra1"}).Token)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: rpc.PinnedConfig(token.CA)}
	t.Cleanup(transport.CloseIdleConnections)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return rpc.Client{URL: at(a), HTTP: &http.Client{Transport: transport}}, roles.EnrolRequest{
		ID: token.Name(), Secret: token.Secret[:], Role: rpc.RoleValidator, CSR: csr, Address: "192.0.2.1:9443", Version: "test",
	}
}

// TestEnrolmentIsStrict has a stranger send what no host sends: it is refused, and told nothing of our inside.
func TestEnrolmentIsStrict(t *testing.T) {
	a := catest.Start(t, "")
	client, good := stranger(t, a)
	for body, want := range map[string]string{
		`{"id":"` + strings.Repeat("x", 20<<10) + `"}`: "larger than 16384 octets",
		`{"id":1}`:               `a JSON number is not expected at \"id\"`,
		`{"id":"x"`:              "not one JSON value",
		`{"id":"x","secret":""}`: "not known here",
	} {
		response, err := client.HTTP.Post(client.URL+"/enrol", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !strings.Contains(string(text), want) || strings.Contains(string(text), "Go ") {
			t.Errorf("%.40s: %s %v, want %q", body, text, err, want)
		}
	}
	for _, address := range []string{
		"", "host", ":", ":0", ":65536", ":http", "a/b:443", "u@h:443", "h?x:443", "\x1b[2J:443", "a b:443", "[fe80::1%eth0]:443",
		strings.Repeat("a", 254) + ":443",
	} {
		bad := good
		bad.Address = address
		var refused *rpc.Refusal
		if _, err := rpc.Call[roles.EnrolRequest, roles.EnrolResponse](t.Context(), client, "enrol", bad); !errors.As(err, &refused) {
			t.Errorf("joining at %.60q: %v", address, err)
		}
	}
	if list := operator(t, a.Dir, ops.ListValidators, struct{}{}); len(list) != 0 {
		t.Errorf("somebody has joined: %+v", list)
	}
	good.Version = "\x1b]0;owned\a" + strings.Repeat("é", 80)
	if _, err := rpc.Call[roles.EnrolRequest, roles.EnrolResponse](t.Context(), client, "enrol", good); err != nil {
		t.Fatal(err)
	}
	version := operator(t, a.Dir, ops.ListValidators, struct{}{})[0].Version
	if len(version) > 100 || strings.ContainsAny(version, "\x1b\a\uFFFD") || !strings.HasPrefix(version, "]0;ownedé") {
		t.Errorf("version %q", version)
	}
}

// TestEnrolmentAnswerLost: a host that asks again with the same key is what it joined as, and the authority agrees.
func TestEnrolmentAnswerLost(t *testing.T) {
	a := catest.Start(t, "")
	client, request := stranger(t, a)
	request.RIR = "RIPE"
	enrol := func(address, rir string) roles.EnrolResponse {
		t.Helper()
		request.Address, request.RIR = address, rir
		response, err := rpc.Call[roles.EnrolRequest, roles.EnrolResponse](t.Context(), client, "enrol", request)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	first, second := enrol("192.0.2.1:9443", "RIPE"), enrol("192.0.2.2:9443", "ARIN")
	if second.Node != first.Node || second.RIR != "RIPE" || second.Address != "192.0.2.1:9443" || bytes.Equal(first.Certificate, second.Certificate) {
		t.Errorf("it is %s in %s at %s", second.Node, second.RIR, second.Address)
	}
	if list := operator(t, a.Dir, ops.ListValidators, struct{}{}); len(list) != 1 || list[0].RIR != second.RIR || list[0].Address != second.Address {
		t.Errorf("validators: %+v", list)
	}
}

// TestTokenServesOne: of many hosts that come with the same token at once, one joins.
func TestTokenServesOne(t *testing.T) {
	a := catest.Start(t, "")
	made := operator(t, a.Dir, ops.CreateValidatorToken, ops.ValidatorTokenRequest{})
	const hosts = 16
	results := make(chan error, hosts)
	for range hosts {
		dir := t.TempDir()
		go func() {
			token, err := roles.ParseToken(made.Token)
			if err != nil {
				results <- err
				return
			}
			host, err := roles.OpenHost(dir)
			if err != nil {
				results <- err
				return
			}
			results <- host.Join(context.WithoutCancel(t.Context()), roles.JoinConfig{URL: at(a), Token: token, Request: roles.EnrolRequest{Address: ":9443"}})
		}()
	}
	joined := 0
	for range hosts {
		err := <-results
		var refused *rpc.Refusal
		if err == nil {
			joined++
		} else if !errors.As(err, &refused) {
			t.Error(err)
		}
	}
	if list := operator(t, a.Dir, ops.ListValidators, struct{}{}); joined != 1 || len(list) != 1 {
		t.Errorf("%d joined, %d are known", joined, len(list))
	}
}

// TestHostileValidatorsTrouble: what one says of itself is no danger to the operator's terminal.
func TestHostileValidatorsTrouble(t *testing.T) {
	text := ca.ShortText("\x1b[2J\u009b2J\u202eok\x00"+strings.Repeat("é", 400), 300)
	if !strings.HasPrefix(text, "[2J2Jok") || len(text) > 300 || strings.ContainsAny(text, "\x1b\x00\u009b\u202e\uFFFD") {
		t.Errorf("%q", text)
	}
}
