package pebble

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/sign"
)

// keysFile holds the roots and intermediates, with their keys, of a directory that is kept.
const keysFile = "keys.json"

// kept is the content of keysFile.
type kept struct {
	Algorithm string      `json:"algorithm"`
	Chains    []keptChain `json:"chains"`
}

type keptChain struct {
	Root          keptAuthority   `json:"root"`
	Intermediates []keptAuthority `json:"intermediates"`
}

type keptAuthority struct {
	Certificate string `json:"certificate"` // PEM
	Key         string `json:"key"`         // PEM, PKCS#8
}

// openChains loads the chains of a directory, and makes those that are missing. What is new is
// saved before anything is signed with it.
func openChains(c Config, dir string, now time.Time) ([]chain, error) {
	path := filepath.Join(dir, keysFile)
	chains, err := loadChains(path, c)
	if err != nil {
		return nil, err
	}
	loaded := len(chains)
	var issuer authority
	if loaded > 0 {
		issuer = chains[0].intermediates[0]
	} else if issuer, err = newIssuer(c.KeyAlgorithm); err != nil {
		return nil, err
	}
	for len(chains) < 1+c.AlternateRoots {
		made, err := newChain(c.KeyAlgorithm, c.ChainLength, issuer, now)
		if err != nil {
			return nil, err
		}
		chains = append(chains, made)
	}
	if len(chains) > loaded {
		if err := saveChains(path, c.KeyAlgorithm, chains); err != nil {
			return nil, err
		}
	}
	return chains[:1+c.AlternateRoots], nil
}

// loadChains reads keysFile; there are no chains where there is no such file.
func loadChains(path string, c Config) ([]chain, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the kept keys: %w", err)
	}
	var file kept
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("reading the kept keys in %s: %w", path, err)
	}
	if file.Algorithm != c.KeyAlgorithm {
		return nil, fmt.Errorf("%s has %s keys, and the configuration asks for %s: set keyAlgorithm, or keep another directory", path, file.Algorithm, c.KeyAlgorithm)
	}
	var chains []chain
	for _, one := range file.Chains {
		loaded, err := one.load()
		if err != nil {
			return nil, fmt.Errorf("reading the kept keys in %s: %w", path, err)
		}
		if len(loaded.intermediates) != c.ChainLength {
			return nil, fmt.Errorf("%s has chains of %d intermediates, and %d are asked for: set PEBBLE_CHAIN_LENGTH, or keep another directory",
				path, len(loaded.intermediates), c.ChainLength)
		}
		chains = append(chains, loaded)
	}
	return chains, nil
}

// saveChains writes keysFile whole or not at all.
func saveChains(path, algorithm string, chains []chain) error {
	file := kept{Algorithm: algorithm}
	for _, c := range chains {
		one, err := keep(c)
		if err != nil {
			return err
		}
		file.Chains = append(file.Chains, one)
	}
	text, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the keys: %w", err)
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("keeping the keys: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("keeping the keys: %w", err)
	}
	return nil
}

func keep(c chain) (one keptChain, err error) {
	if one.Root, err = c.root.keep(); err != nil {
		return one, err
	}
	for _, a := range c.intermediates {
		below, err := a.keep()
		if err != nil {
			return one, err
		}
		one.Intermediates = append(one.Intermediates, below)
	}
	return one, nil
}

func (a authority) keep() (keptAuthority, error) {
	key, err := sign.EncodeKey(a.key)
	return keptAuthority{Certificate: string(certificatePEM(a.certificate.Raw)), Key: string(key)}, err
}

func (k keptChain) load() (c chain, err error) {
	if c.root, err = k.Root.load(); err != nil {
		return c, err
	}
	for _, one := range k.Intermediates {
		a, err := one.load()
		if err != nil {
			return c, err
		}
		c.intermediates = append(c.intermediates, a)
	}
	return c, nil
}

func (k keptAuthority) load() (a authority, err error) {
	block, _ := pem.Decode([]byte(k.Certificate))
	if block == nil {
		return a, errors.New("a certificate is not in PEM")
	}
	if a.certificate, err = x509.ParseCertificate(block.Bytes); err != nil {
		return a, err
	}
	if a.key, err = sign.ParseKey([]byte(k.Key)); err != nil {
		return a, err
	}
	public, ok := a.key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(a.certificate.PublicKey) {
		return a, fmt.Errorf("the key of %s is another one", a.certificate.Subject)
	}
	return a, nil
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
