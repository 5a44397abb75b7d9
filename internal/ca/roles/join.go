package roles

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rpc"
)

// The calls by which machines come into a cluster and stay there.
const (
	JoinMethod  = "join"  // open to everybody who asks for rpc.ServerName
	RenewMethod = "renew" // a CSR in, a certificate out (DER both), for the role and the key that call
)

// JoinRequest is what a machine sends to become the roles of a token.
type JoinRequest struct {
	ID     string `json:"id"`     // of the token
	Secret []byte `json:"secret"` // of the token
	CSR    []byte `json:"csr"`    // PKCS #10 (RFC 2986), DER; only its key counts
	// Node is what the machine is called already, "" if it is new: a token for another one is not spent on it.
	Node string `json:"node,omitempty"`
}

// JoinResponse is who the machine is from now on.
type JoinResponse struct {
	Node         string            `json:"node"`
	Certificates map[string][]byte `json:"certificates"` // DER, by role
	CA           []byte            `json:"ca"`           // DER
}

// ClusterRoles are those that a token can be for. A remote perspective has a token of its own
// kind, and a signer needs none: it has the key of the roles' CA.
func ClusterRoles() []string {
	return []string{rpc.RoleFront, rpc.RoleWork, rpc.RoleCRL, rpc.RoleOps}
}

// CheckRoles says what is wrong with the roles that a token is to be for.
func CheckRoles(roles []string) error {
	for i, role := range roles {
		switch {
		case !slices.Contains(ClusterRoles(), role):
			return fmt.Errorf("%.40q is no role for a token: it takes some of %s", role, strings.Join(ClusterRoles(), ", "))
		case slices.Contains(roles[:i], role):
			return fmt.Errorf("the role %s is there twice", role)
		}
	}
	if len(roles) == 0 {
		return fmt.Errorf("a token is for roles: some of %s", strings.Join(ClusterRoles(), ", "))
	}
	return nil
}

// Join makes m the roles of a token, at the server at url, https://HOST[:PORT]. If it fails on the way, it can be called again with
// the same token, as Host.Join. A machine can join again, under its name, for further roles.
func (m *Machine) Join(ctx context.Context, url string, token Token) error {
	csr, err := m.csr()
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: rpc.PinnedConfig(token.CA)}
	defer transport.CloseIdleConnections()
	client := rpc.Client{URL: url, HTTP: &http.Client{Transport: transport, Timeout: 30 * time.Second}, Limit: maxFile}
	response, err := rpc.Call[JoinRequest, JoinResponse](ctx, client, JoinMethod, JoinRequest{
		ID: token.Name(), Secret: token.Secret[:], CSR: csr, Node: m.Node(),
	})
	var refused *rpc.Refusal
	if errors.As(err, &refused) {
		return fmt.Errorf("the cluster refused: %w", err)
	}
	if err != nil {
		return fmt.Errorf("joining %s, which must be the address of the signer as this machine reaches it: %w", url, err)
	}
	return m.take(response, url, token)
}

// take makes the machine what the cluster says that it is. The CA must be the token's.
func (m *Machine) take(r JoinResponse, url string, token Token) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case sha256.Sum256(r.CA) != token.CA:
		return errors.New("joining: the CA for roles is not that of the token")
	case m.state.Node != "" && m.state.Node != r.Node:
		return fmt.Errorf("joining: this machine is %q already, and the token is for %q: remove %s first", m.state.Node, r.Node, m.file)
	case m.ca != nil && sha256.Sum256(m.ca.Raw) != token.CA:
		return fmt.Errorf("joining: this machine belongs to another cluster: remove %s first", m.file)
	}
	next := m.state
	next.Node, next.URL = r.Node, url
	return m.install(r.CA, r.Certificates, next)
}
