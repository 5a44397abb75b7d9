package roles

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rpc"
)

// machineFile is all that a machine of a cluster keeps of it, so that each change is whole or not there. Nothing of the database is in it.
const machineFile = "cluster.json"

// machineState is the content of the file. Before the machine has joined there is a key and nothing else.
type machineState struct {
	Node         string            `json:"node,omitempty"`
	URL          string            `json:"url,omitempty"` // at which it joined
	Key          []byte            `json:"key"`           // PEM, of all its certificates
	Certificates map[string][]byte `json:"certificates"`  // PEM, by role
	CA           []byte            `json:"ca,omitempty"`
}

// Machine is a machine of a cluster, or one that is to become that: for each of its roles it has a
// certificate, all for one key. It is safe for concurrent use.
type Machine struct {
	file string

	mu      sync.Mutex // guards what follows
	state   machineState
	key     crypto.Signer
	ca      *x509.Certificate
	current map[string]*tls.Certificate // by role
}

// OpenMachine reads what is kept in dir, which is made if it is not there.
func OpenMachine(dir string) (*Machine, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	m := &Machine{file: filepath.Join(dir, machineFile)}
	found, err := readState(m.file, &m.state)
	if err != nil || !found {
		return m, err
	}
	if err := m.load(); err != nil {
		return nil, fmt.Errorf("%s is damaged: remove it, and join again: %w", m.file, err)
	}
	return m, nil
}

// load makes what is in m.state ready for use.
func (m *Machine) load() (err error) {
	if m.key, err = parseKey(m.state.Key); err != nil {
		return fmt.Errorf("reading the key: %w", err)
	}
	current := make(map[string]*tls.Certificate)
	for role, certificate := range m.state.Certificates {
		pair, err := tls.X509KeyPair(certificate, m.state.Key)
		if err != nil {
			return fmt.Errorf("reading the certificate for %s: %w", role, err)
		}
		current[role] = &pair
	}
	if len(current) > 0 {
		if m.ca, err = parseCertificate(m.state.CA); err != nil {
			return fmt.Errorf("reading the CA's certificate: %w", err)
		}
	}
	m.current = current
	return nil
}

// Node is what the machine is called; "" before it has joined.
func (m *Machine) Node() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.Node
}

// URL is where the machine joined, https://HOST[:PORT]; "" for one that has the key of the roles' CA itself.
func (m *Machine) URL() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.URL
}

// Roles lists as what the machine has joined.
func (m *Machine) Roles() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.current))
}

// KeyHash is the rpc.KeyHash of all its certificates. It must have joined.
func (m *Machine) KeyHash() ([sha256.Size]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, pair := range m.current {
		return rpc.KeyHash(pair.Leaf), nil
	}
	return [sha256.Size]byte{}, errors.New("this machine has not joined a cluster")
}

// Identity is who the machine is to others in one of its roles.
func (m *Machine) Identity(role string) (rpc.Identity, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current[role] == nil {
		return rpc.Identity{}, fmt.Errorf("this machine has not joined as %s: run `cairn token --roles %s --name NODE` where the signer runs, and here the command that it prints", role, role)
	}
	return rpc.Identity{CA: m.ca, Certificate: func() (*tls.Certificate, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.current[role], nil
	}}, nil
}

// csr returns a CSR with the machine's key, which is made and saved if there is none.
func (m *Machine) csr() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.key == nil {
		key, text, err := newKey()
		if err != nil {
			return nil, err
		}
		if err := m.save(machineState{Key: text}); err != nil {
			return nil, err
		}
		m.key = key
	}
	return newCSR(m.key)
}

// install checks and saves certificates (DER), by role, beside those that there are. The caller holds m.mu.
func (m *Machine) install(ca []byte, certificates map[string][]byte, next machineState) error {
	next.Certificates = maps.Clone(m.state.Certificates)
	if next.Certificates == nil {
		next.Certificates = make(map[string][]byte)
	}
	for role, der := range certificates {
		if err := checkCertificate(der, ca, rpc.Peer{Role: role, Node: next.Node}); err != nil {
			return err
		}
		next.Certificates[role] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		if _, err := tls.X509KeyPair(next.Certificates[role], next.Key); err != nil {
			return fmt.Errorf("the new certificate is not for this machine's key: %w", err)
		}
	}
	next.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca})
	if err := m.save(next); err != nil {
		return err
	}
	return m.load()
}

// save puts state into the file. The caller holds m.mu.
func (m *Machine) save(state machineState) error {
	if err := writeState(m.file, state); err != nil {
		return err
	}
	m.state = state
	return nil
}

// Standing is what a machine is in its cluster.
type Standing struct {
	Node  string
	Roles []string
	Now   time.Time // from when; zero means time.Now
}

// Certify makes the machine what s says, where the key of the roles' CA is at hand. Certificates
// that are good for long yet stay.
func (m *Machine) Certify(authority *Authority, s Standing) error {
	csr, err := m.csr()
	if err != nil {
		return err
	}
	key, err := ParseCSR(csr)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state.Node != "" && (m.state.Node != s.Node || !m.ca.Equal(authority.Certificate())) {
		return fmt.Errorf("this machine is %q of another cluster, or under another name: remove %s first", m.state.Node, m.file)
	}
	if s.Now.IsZero() {
		s.Now = time.Now()
	}
	made := make(map[string][]byte)
	for _, role := range s.Roles {
		if current := m.current[role]; current != nil && !Due(current.Leaf, s.Now) {
			continue
		}
		if made[role], err = authority.Certify(rpc.Peer{Role: role, Node: s.Node}, key, s.Now); err != nil {
			return err
		}
	}
	if len(made) == 0 {
		return nil
	}
	next := m.state
	next.Node = s.Node
	return m.install(authority.Certificate().Raw, made, next)
}

// RenewConfig says how a machine has its certificates renewed. Signers and Log are required.
type RenewConfig struct {
	// Signers lists the servers with the key of the roles' CA, as a role calls them.
	Signers func(ctx context.Context, role string) ([]rpc.Client, error)
	Log     *slog.Logger
}

// checkRenewals is how often a machine looks whether a certificate is due for renewal. There is a month for it.
const checkRenewals = 10 * time.Minute

// KeepRenewed has certificates renewed that are due, until ctx ends.
func (m *Machine) KeepRenewed(ctx context.Context, c RenewConfig) {
	tick := time.NewTicker(checkRenewals)
	defer tick.Stop()
	for {
		for _, role := range m.Roles() {
			if err := m.Renew(ctx, c, role); err != nil && ctx.Err() == nil {
				c.Log.Warn("the certificate by which other machines know this one was not renewed", "role", role, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Renew has the certificate for one role renewed, if it is due.
func (m *Machine) Renew(ctx context.Context, c RenewConfig, role string) error {
	m.mu.Lock()
	current := m.current[role]
	m.mu.Unlock()
	if current == nil || !Due(current.Leaf, time.Now()) {
		return nil
	}
	csr, err := m.csr()
	if err != nil {
		return err
	}
	signers, err := c.Signers(ctx, role)
	if err != nil {
		return err
	}
	der, err := rpc.CallAny[[]byte, []byte](ctx, new(rpc.Any), signers, RenewMethod, csr)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.install(m.ca.Raw, map[string][]byte{role: der}, m.state); err != nil {
		return err
	}
	c.Log.Info("the certificate by which other machines know this one was renewed", "role", role)
	return nil
}
