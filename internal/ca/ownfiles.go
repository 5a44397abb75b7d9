package ca

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cairn-ca/cairn/internal/ca/datadir"
)

// maxPEM bounds a file with a certificate or a key, in octets.
const maxPEM = 1 << 20

// givenFiles is the operator's: PEM files that something else renews.
type givenFiles struct{ certificate, key string }

// HTTPS reads both.
func (g givenFiles) HTTPS() (pair datadir.Pair, found bool, err error) {
	if pair.Certificate, err = readPEM(g.certificate); err != nil {
		return pair, false, fmt.Errorf("front: certificate: %w", err)
	}
	if pair.Key, err = readPEM(g.key); err != nil {
		return pair, false, fmt.Errorf("front: key: %w", err)
	}
	return pair, true, nil
}

// SetHTTPS is never asked for: what the operator gave is the operator's to renew.
func (g givenFiles) SetHTTPS(_, _ []byte) error {
	return errors.New("the HTTPS certificate is the operator's")
}

// hostFiles is a directory of a machine without the authority's data directory.
type hostFiles struct{ dir string }

// hostHTTPS holds the key and then the certificate with its chain: in one file, so that both change at once.
const hostHTTPS = "https.pem"

// HTTPS reads what SetHTTPS kept.
func (h hostFiles) HTTPS() (pair datadir.Pair, found bool, err error) {
	name := filepath.Join(h.dir, hostHTTPS)
	text, err := readPEM(name)
	if errors.Is(err, fs.ErrNotExist) {
		return pair, false, nil
	}
	if err != nil {
		return pair, false, err
	}
	key, rest := pem.Decode(text)
	if key == nil {
		return pair, false, fmt.Errorf("%s is damaged: remove it", name)
	}
	return datadir.Pair{Certificate: rest, Key: pem.EncodeToMemory(key)}, true, nil
}

// SetHTTPS keeps a certificate with its key. A crash leaves what was there before, or this.
func (h hostFiles) SetHTTPS(certificate, key []byte) error {
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	file, err := os.CreateTemp(h.dir, hostHTTPS+".*.new") // with mode 0600
	if err != nil {
		return fmt.Errorf("keeping the HTTPS certificate: %w", err)
	}
	defer os.Remove(file.Name())
	_, err = file.Write(bytes.Join([][]byte{bytes.TrimSpace(key), certificate}, []byte("\n")))
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(h.dir, hostHTTPS))
	}
	if err != nil {
		return fmt.Errorf("keeping the HTTPS certificate: %w", err)
	}
	return nil
}

func readPEM(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxPEM+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(text) > maxPEM {
		return nil, fmt.Errorf("%s is larger than %d octets", name, maxPEM)
	}
	return text, nil
}
