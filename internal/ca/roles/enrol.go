package roles

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rpc"
)

// EnrolMethod is the one call that an authority answers to everybody who asks for rpc.ServerName.
const EnrolMethod = "enrol"

// EnrolRequest is what a host sends to become a role.
type EnrolRequest struct {
	ID      string `json:"id"`     // of the token
	Secret  []byte `json:"secret"` // of the token
	Role    string `json:"role"`
	CSR     []byte `json:"csr"`            // PKCS #10 (RFC 2986), DER; only its key counts
	Node    string `json:"node,omitempty"` // as the host wants to be called; "" if it does not mind
	RIR     string `json:"rir,omitempty"`
	Address string `json:"address,omitempty"` // HOST:PORT at which it can be called; ":PORT" is at the address that the request comes from
	Version string `json:"version"`
}

// EnrolResponse is who the host is from now on.
type EnrolResponse struct {
	Node        string `json:"node"`
	RIR         string `json:"rir,omitempty"`
	Address     string `json:"address"`
	Certificate []byte `json:"certificate"` // DER
	CA          []byte `json:"ca"`          // DER
}

// ParseCSR reads the key of a CSR, which must be a P-256 key that signed it.
func ParseCSR(der []byte) (*ecdsa.PublicKey, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, errors.New("the CSR cannot be read")
	}
	key, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("the CSR's key is not one on P-256")
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, errors.New("the CSR's signature is not that of its key")
	}
	return key, nil
}

// JoinConfig says how a host joins an authority.
type JoinConfig struct {
	URL     string // https://HOST[:PORT] of the authority's ACME server
	Token   Token
	Request EnrolRequest // Node, RIR, Address and Version; the rest is filled in
}

// Join makes h a role, once and for all. If it fails on the way, it can be called again with the
// same token: the authority knows the key, which h keeps from the beginning.
func (h *Host) Join(ctx context.Context, c JoinConfig) error {
	if h.Joined() {
		node, _, _ := h.Name()
		return fmt.Errorf("this host has joined already, as %q: start it without --join and --ca, or, to let it join anew, remove %s first", node, h.file)
	}
	csr, err := h.csr() // makes and saves the key, so that its certificate is not lost with an answer
	if err != nil {
		return err
	}
	request := c.Request
	request.ID, request.Secret, request.CSR, request.Role = c.Token.Name(), c.Token.Secret[:], csr, rpc.RoleValidator
	transport := &http.Transport{TLSClientConfig: rpc.PinnedConfig(c.Token.CA)}
	defer transport.CloseIdleConnections()
	client := rpc.Client{URL: c.URL, HTTP: &http.Client{Transport: transport, Timeout: 30 * time.Second}}
	response, err := rpc.Call[EnrolRequest, EnrolResponse](ctx, client, EnrolMethod, request)
	var refused *rpc.Refusal
	if errors.As(err, &refused) {
		return fmt.Errorf("the authority refused: %w", err)
	}
	if err != nil {
		return fmt.Errorf("joining %s, which must be the authority's HTTPS address as this host reaches it: %w", c.URL, err)
	}
	return h.take(response, c.Token)
}
