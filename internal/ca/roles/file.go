package roles

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cairn-ca/cairn/internal/ca/rpc"
)

// maxFile is ample for a key and some certificates.
const maxFile = 64 << 10

// readState reads what a host keeps in file, which nobody else may read; false if there is none.
func readState(file string, into any) (found bool, err error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the data directory: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 || !info.Mode().IsRegular() || info.Size() > maxFile {
		return false, fmt.Errorf("%s holds a key and is open to others, or is no file of ours (mode %s): close it with `chmod 600 %s`", file, info.Mode(), file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return false, fmt.Errorf("reading the data directory: %w", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return false, fmt.Errorf("%s is damaged: remove it, and join again: %w", file, err)
	}
	return true, nil
}

// writeState puts state into file, in one step and on the disk before it returns.
func writeState(file string, state any) error {
	text, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding what this host keeps: %w", err)
	}
	temp := file + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("writing to the data directory: %w", err)
	}
	opened, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("writing to the data directory: %w", err)
	}
	_, err = opened.Write(append(text, '\n'))
	if err = errors.Join(err, opened.Sync(), opened.Close()); err == nil {
		err = os.Rename(temp, file)
	}
	if err != nil {
		return fmt.Errorf("writing to the data directory: %w", err)
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return fmt.Errorf("writing to the data directory: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("writing to the data directory: %w", err)
	}
	return nil
}

// newKey makes the key of a host, and its PEM.
func newKey() (crypto.Signer, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	text, err := encodeKey(key)
	return key, text, err
}

// newCSR is a CSR of which only the key counts.
func newCSR(key crypto.Signer) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("making a CSR: %w", err)
	}
	return der, nil
}

// checkCertificate checks that a new certificate (DER) is of ca, and for whom it should be.
func checkCertificate(certificate, ca []byte, want rpc.Peer) error {
	leaf, err := x509.ParseCertificate(certificate)
	if err != nil {
		return fmt.Errorf("reading the new certificate: %w", err)
	}
	issuer, err := x509.ParseCertificate(ca)
	if err != nil {
		return fmt.Errorf("reading the CA's certificate: %w", err)
	}
	if err := leaf.CheckSignatureFrom(issuer); err != nil {
		return fmt.Errorf("checking the new certificate: %w", err)
	}
	if peer, err := rpc.PeerOf(leaf); err != nil || peer != want {
		return fmt.Errorf("the new certificate is not for %s %q", want.Role, want.Node)
	}
	return nil
}
