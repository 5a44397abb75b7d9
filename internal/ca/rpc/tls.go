package rpc

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ServerName is what the server is called in TLS (RFC 6066 §3) that takes hosts in: no host has such a name
// (RFC 6761 §6.4). Where a port has other servers too, who does not ask for it
// never reaches that of the roles, and who does reaches nothing else.
const ServerName = "roles.cairn.invalid"

// peerName ends what servers are called by those who show a certificate: ROLE.peers.cairn.invalid. So
// one port can have the servers of several roles, and the one that takes hosts in.
const peerName = ".peers.cairn.invalid"

// protocols is what is spoken over TLS (RFC 7301).
func protocols() []string { return []string{"http/1.1"} }

// Peer is a role on a host, as its certificate names it.
type Peer struct {
	Role string // what it may do
	Node string // which one of those it is
}

// The roles.
const (
	RoleAuthority = "authority" // holds the database and the keys
	RoleValidator = "validator" // looks at the network from another place
	RoleFront     = "front"     // answers clients
	RoleWork      = "work"      // has names validated and certificates made
	RoleSigner    = "signer"    // holds the issuers' keys and that of the roles' CA
	RoleCRL       = "crl"       // publishes lists of what is revoked
	RoleOps       = "ops"       // carries out what operators command
)

// uriScheme and uriHost make the URI in a role's certificate: cairn://roles/ROLE/NODE.
const (
	uriScheme = "cairn"
	uriHost   = "roles"
)

// URI is how p stands in its certificate, as a uniformResourceIdentifier (RFC 5280 §4.2.1.6).
func (p Peer) URI() *url.URL {
	return &url.URL{Scheme: uriScheme, Host: uriHost, Path: "/" + p.Role + "/" + p.Node}
}

// maxNode bounds the name of a node, as DNS bounds a label.
const maxNode = 63

// CheckNode says what is wrong with the name of a node: it is of lower-case letters,
// digits and hyphens, at most 63 of them, and begins and ends with a letter or a digit.
func CheckNode(node string) error {
	wrong := func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-') }
	if node == "" || len(node) > maxNode || strings.ContainsFunc(node, wrong) || strings.Trim(node, "-") != node {
		return fmt.Errorf("%.80q is no name for a node: it takes lower-case letters, digits and hyphens, at most %d of them", node, maxNode)
	}
	return nil
}

// PeerOf reads a peer out of its certificate, which has one URI and no other name.
func PeerOf(certificate *x509.Certificate) (Peer, error) {
	names := len(certificate.DNSNames) + len(certificate.IPAddresses) + len(certificate.EmailAddresses)
	if len(certificate.URIs) != 1 || names != 0 {
		return Peer{}, errors.New("it is not a role's certificate")
	}
	uri := certificate.URIs[0]
	role, node, _ := strings.Cut(strings.TrimPrefix(uri.Path, "/"), "/")
	p := Peer{Role: role, Node: node}
	if CheckNode(role) != nil || CheckNode(node) != nil || uri.String() != p.URI().String() {
		return Peer{}, errors.New("it is not a role's certificate")
	}
	return p, nil
}

// KeyHash is the SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
func KeyHash(certificate *x509.Certificate) [sha256.Size]byte {
	return sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
}

// Identity is who a role is to others: its certificate, and the CA that all roles have in common.
type Identity struct {
	CA *x509.Certificate
	// Certificate returns the certificate of the moment, with its key and without
	// the CA's. It is called for each handshake.
	Certificate func() (*tls.Certificate, error)
}

// Expect is which peers may be talked to.
type Expect struct {
	Role  string
	Roles []string           // those that will do as well
	Node  string             // "" means any
	Key   *[sha256.Size]byte // the KeyHash that its certificate must have; nil means any
}

// ServerConfig is for a server that only peers as expected may call.
func (i Identity) ServerConfig(expected Expect) *tls.Config {
	config := i.config(expected, x509.ExtKeyUsageClientAuth)
	// Verified by VerifyConnection alone, as in ClientConfig: one rule for both sides.
	config.ClientAuth = tls.RequireAnyClientCert
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.Certificate() }
	return config
}

// PeersConfig is for a port that has the servers of several roles of one node: own is who they are, by role, of one CA. Callers
// say whom they want.
func PeersConfig(own map[string]Identity, expected Expect) *tls.Config {
	var one Identity
	for _, one = range own {
		break
	}
	config := one.ServerConfig(expected)
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		role, _ := strings.CutSuffix(hello.ServerName, peerName)
		identity, ok := own[role]
		if !ok {
			return nil, fmt.Errorf("the caller wants %.100q, which is not here", hello.ServerName)
		}
		return identity.Certificate()
	}
	return config
}

// OpenServerConfig is for a server that everybody may call: callers show no certificate.
// It sends the CA's certificate along, since callers may know only its hash.
func (i Identity) OpenServerConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: protocols(), SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			own, err := i.Certificate()
			if err != nil {
				return nil, err
			}
			with := *own
			with.Certificate = [][]byte{own.Certificate[0], i.CA.Raw}
			return &with, nil
		},
	}
}

// ClientConfig is for calls to a server that is a peer as expected.
func (i Identity) ClientConfig(expected Expect) *tls.Config {
	config := i.config(expected, x509.ExtKeyUsageServerAuth)
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return i.Certificate() }
	// Not the names of hosts count but those of roles: VerifyConnection does it all.
	config.InsecureSkipVerify, config.ServerName = true, expected.Role+peerName
	return config
}

// PinnedConfig is for a call to a server of the role authority of which nothing is known but
// the SHA-256 of its roles' CA. The caller shows no certificate.
func PinnedConfig(ca [sha256.Size]byte) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: protocols(), InsecureSkipVerify: true, ServerName: ServerName,
		VerifyConnection: func(state tls.ConnectionState) error {
			for _, shown := range state.PeerCertificates[1:] {
				hash := sha256.Sum256(shown.Raw)
				if subtle.ConstantTimeCompare(hash[:], ca[:]) == 1 {
					return verify(state, shown, Expect{Role: RoleAuthority}, x509.ExtKeyUsageServerAuth)
				}
			}
			return errors.New("it is not the authority that the token is from: its CA for roles is another one")
		},
	}
}

// config is what both sides have in common. Sessions are not resumed: each
// connection shows a certificate of the moment.
func (i Identity) config(expected Expect, usage x509.ExtKeyUsage) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: protocols(), SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error { return verify(state, i.CA, expected, usage) },
	}
}

// verify checks that the peer's certificate is of the roles' CA, and for whom is expected.
func verify(state tls.ConnectionState, ca *x509.Certificate, expected Expect, usage x509.ExtKeyUsage) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the peer showed no certificate")
	}
	leaf := state.PeerCertificates[0]
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{usage}})
	if err != nil {
		return fmt.Errorf("the peer's certificate is not one for a role: %w", err)
	}
	peer, err := PeerOf(leaf)
	if err != nil {
		return fmt.Errorf("the peer's certificate: %w", err)
	}
	hash := KeyHash(leaf)
	switch {
	case leaf.IsCA:
		return errors.New("the peer's certificate is a CA's")
	case peer.Role != expected.Role && !slices.Contains(expected.Roles, peer.Role):
		return fmt.Errorf("the peer is %s, where %q is expected", peer.URI(), strings.Join(slices.Concat([]string{expected.Role}, expected.Roles), " or "))
	case expected.Node != "" && peer.Node != expected.Node:
		return fmt.Errorf("the peer is %s, where the node %q is expected", peer.URI(), expected.Node)
	case expected.Key != nil && subtle.ConstantTimeCompare(hash[:], expected.Key[:]) != 1:
		return fmt.Errorf("the peer %s has another key than it was enrolled with", peer.URI())
	}
	return nil
}
