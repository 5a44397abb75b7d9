package roles

import (
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rpc"
)

// hostFile is all that a host keeps: one file, so that each change is whole or not there.
const hostFile = "validator.json"

// hostState is the content of the file. Before the host has joined there is a key and nothing else.
type hostState struct {
	Node        string `json:"node,omitempty"`
	RIR         string `json:"rir,omitempty"`
	Address     string `json:"address,omitempty"` // at which the authority calls
	Key         []byte `json:"key"`               // PEM
	Certificate []byte `json:"certificate,omitempty"`
	CA          []byte `json:"ca,omitempty"`
}

// Host is a host that is a role, or is to become one. It is safe for concurrent use.
type Host struct {
	file string

	mu      sync.Mutex // guards what follows
	state   hostState
	key     crypto.Signer
	ca      *x509.Certificate
	current *tls.Certificate // nil until it has joined
}

// OpenHost reads what is kept in dir, which is made if it is not there. It is closed to others.
func OpenHost(dir string) (*Host, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	h := &Host{file: filepath.Join(dir, hostFile)}
	found, err := readState(h.file, &h.state)
	if err != nil || !found {
		return h, err
	}
	if err := h.load(); err != nil {
		return nil, fmt.Errorf("%s is damaged: remove it, and join again: %w", h.file, err)
	}
	return h, nil
}

// load makes what is in h.state ready for use.
func (h *Host) load() (err error) {
	if h.key, err = parseKey(h.state.Key); err != nil {
		return fmt.Errorf("reading the key: %w", err)
	}
	if h.state.Certificate == nil {
		return nil
	}
	pair, err := tls.X509KeyPair(h.state.Certificate, h.state.Key)
	if err != nil {
		return fmt.Errorf("reading the certificate: %w", err)
	}
	if h.ca, err = parseCertificate(h.state.CA); err != nil {
		return fmt.Errorf("reading the CA's certificate: %w", err)
	}
	h.current = &pair
	return nil
}

// Joined reports whether the host is a role.
func (h *Host) Joined() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current != nil
}

// Name is what the host is called; RIR is where it is; Address is where it is called at.
func (h *Host) Name() (node, rir, address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state.Node, h.state.RIR, h.state.Address
}

// Identity is who the host is to others. It must have joined.
func (h *Host) Identity() rpc.Identity {
	h.mu.Lock()
	defer h.mu.Unlock()
	return rpc.Identity{CA: h.ca, Certificate: func() (*tls.Certificate, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.current, nil
	}}
}

// Renewal is a CSR if the host's certificate is due for renewal, or nil.
func (h *Host) Renewal(now time.Time) ([]byte, error) {
	h.mu.Lock()
	due := h.current != nil && Due(h.current.Leaf, now)
	h.mu.Unlock()
	if !due {
		return nil, nil
	}
	return h.csr()
}

// Renewed takes the certificate that came of a Renewal, in DER.
func (h *Host) Renewed(der []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current == nil {
		return errors.New("this host has not joined")
	}
	return h.install(der, h.ca.Raw, h.state)
}

// csr returns a CSR with the host's key, which is made and saved if there is none.
func (h *Host) csr() ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.key == nil {
		key, text, err := newKey()
		if err != nil {
			return nil, err
		}
		if err := h.save(hostState{Key: text}); err != nil {
			return nil, err
		}
		h.key = key
	}
	return newCSR(h.key)
}

// take makes the host what the authority says that it is. The CA must be the token's.
func (h *Host) take(r EnrolResponse, token Token) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if sha256.Sum256(r.CA) != token.CA {
		return errors.New("joining: the CA for roles is not that of the token")
	}
	next := h.state
	next.Node, next.RIR, next.Address = r.Node, r.RIR, r.Address
	return h.install(r.Certificate, r.CA, next)
}

// install checks and saves a certificate. The caller holds h.mu.
func (h *Host) install(certificate, ca []byte, next hostState) error {
	if err := checkCertificate(certificate, ca, rpc.Peer{Role: rpc.RoleValidator, Node: next.Node}); err != nil {
		return err
	}
	next.Certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	next.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca})
	if _, err := tls.X509KeyPair(next.Certificate, next.Key); err != nil {
		return fmt.Errorf("the new certificate is not for this host's key: %w", err)
	}
	if err := h.save(next); err != nil {
		return err
	}
	return h.load()
}

// save puts state into the file. The caller holds h.mu.
func (h *Host) save(state hostState) error {
	if err := writeState(h.file, state); err != nil {
		return err
	}
	h.state = state
	return nil
}
