package lineage

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// Kind is one of the four files of a lineage.
type Kind string

// The kinds, as in cert.pem and cert3.pem.
const (
	Cert      Kind = "cert"      // the leaf
	Key       Kind = "privkey"   // its private key
	Chain     Kind = "chain"     // what certifies the leaf, without the root
	Fullchain Kind = "fullchain" // Cert, then Chain
)

// Kinds are all four, in certbot's order.
func Kinds() []Kind { return []Kind{Cert, Key, Chain, Fullchain} }

// Material is one version of a certificate: the content of the four files, in PEM.
type Material struct{ Key, Cert, Chain, Fullchain []byte }

// NewMaterial splits a chain, which begins with the leaf, and checks that the
// private key belongs to it. The key keeps the form it has.
func NewMaterial(key, fullchain []byte) (Material, error) {
	m := Material{Key: key}
	var all bytes.Buffer
	for rest := fullchain; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return m, fmt.Errorf("there is a %.30s among the certificates", block.Type)
		}
		// Without headers or anything between the blocks: the next reader may not skip it.
		text := pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})
		if m.Cert == nil {
			m.Cert = text
		} else {
			m.Chain = append(m.Chain, text...)
		}
		all.Write(text)
	}
	m.Fullchain = all.Bytes()
	return m, m.Check()
}

// Leaf parses the certificate itself.
func (m Material) Leaf() (*x509.Certificate, error) {
	block, _ := pem.Decode(m.Cert)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("there is no certificate in PEM")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parsing the certificate: %w", err)
	}
	return leaf, nil
}

// Check reports an error unless the four belong together: the key is the
// leaf's, and the full chain begins with the leaf.
func (m Material) Check() error {
	leaf, err := m.Leaf()
	if err != nil {
		return err
	}
	key, err := ParseKey(m.Key)
	if err != nil {
		return err
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(leaf.PublicKey) {
		return errors.New("the private key is not the certificate's")
	}
	if first, _ := pem.Decode(m.Fullchain); first == nil || !bytes.Equal(first.Bytes, leaf.Raw) {
		return errors.New("the full chain does not begin with the certificate")
	}
	return nil
}

// ParseKey reads a private key in PEM: PKCS#8, or the older forms of RSA and EC keys.
func ParseKey(text []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(text)
	for block != nil && block.Type == "EC PARAMETERS" { // OpenSSL puts these first
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return nil, errors.New("there is no private key in PEM")
	}
	var key any
	var err error
	switch block.Type {
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("parsing the private key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a private key of type %T cannot sign", key)
	}
	return signer, nil
}

func (m Material) content(kind Kind) []byte {
	switch kind {
	case Cert:
		return m.Cert
	case Key:
		return m.Key
	case Chain:
		return m.Chain
	default:
		return m.Fullchain
	}
}
