// Package export writes a certificate and its key in the forms that other programs want: PKCS#12 for Java and Windows, and one
// file of PEM for HAProxy, Postfix and others. Each file is replaced at once, so its reader sees the old one or the new one.
package export

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	pkcs12 "software.sslmate.com/src/go-pkcs12"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// Config says what is written, and where. A path that is "" is not.
type Config struct {
	PKCS12       string
	PasswordFile string      // for PKCS12: its first line is the password
	Combined     string      // the key, then the certificate with its chain
	Mode         fs.FileMode // 0 is 0600
	Group        int         // -1 is that of the process
}

// Write writes the files of c for one version of a certificate. One that fails does not keep the other from being written.
func Write(m lineage.Material, c Config) error {
	if c.Mode == 0 {
		c.Mode = 0o600
	}
	var failed error
	if c.Combined != "" {
		text := append(terminated(m.Key), m.Fullchain...)
		if err := replace(c.Combined, text, c); err != nil {
			failed = errors.Join(failed, fmt.Errorf("writing key and certificate to %s: %w", c.Combined, err))
		}
	}
	if c.PKCS12 != "" {
		data, err := encode(m, c.PasswordFile)
		if err == nil {
			err = replace(c.PKCS12, data, c)
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("writing PKCS#12 to %s: %w", c.PKCS12, err))
		}
	}
	return failed
}

// terminated is a copy of PEM that ends with a line.
func terminated(text []byte) []byte {
	text = append([]byte(nil), text...)
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	return text
}

// maxPassword is more than anybody has.
const maxPassword = 4 << 10

// Password reads the first line of a file.
func Password(path string) (string, error) {
	if path == "" {
		return "", errors.New("it needs a file with a password")
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxPassword))
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimRight(line, "\r"); line == "" {
		return "", fmt.Errorf("the first line of %s is empty: it is the password", path)
	}
	return line, nil
}

// encode makes the PKCS#12 data (RFC 7292), with AES-256 and SHA-256, which all readers know since 2018.
func encode(m lineage.Material, passwordFile string) ([]byte, error) {
	password, err := Password(passwordFile)
	if err != nil {
		return nil, err
	}
	key, err := lineage.ParseKey(m.Key)
	if err != nil {
		return nil, err
	}
	leaf, err := m.Leaf()
	if err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(m.Chain); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing the chain: %w", err)
		}
		chain = append(chain, certificate)
	}
	return pkcs12.Modern2023.Encode(key, leaf, chain, password)
}

// replace puts data in place of a file, which is never more open than it will be. A link stays one: what it leads to is replaced.
func replace(path string, data []byte, c Config) error {
	directory, name, err := open(path)
	if err != nil {
		return err
	}
	next := ".cairnbot-tmp-" + rand.Text()
	err = stage(directory, next, data, c)
	if err == nil {
		err = rename(directory, next, name)
	}
	if err != nil {
		if removeErr := directory.Remove(next); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
		return errors.Join(err, directory.Close())
	}
	if here, openErr := directory.Open("."); openErr == nil { // otherwise the file is there; that it lasts is not known
		err = errors.Join(here.Sync(), here.Close())
	}
	return errors.Join(err, directory.Close())
}

// stage writes a file that is not there yet, durably.
func stage(directory *os.Root, name string, data []byte, c Config) error {
	file, err := directory.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if c.Group >= 0 {
		err = file.Chown(-1, c.Group)
	}
	if err == nil {
		err = file.Chmod(c.Mode)
	}
	if err == nil {
		_, err = file.Write(data)
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// rename gives the file its name, in place of a file and nothing else.
func rename(directory *os.Root, from, to string) error {
	if info, err := directory.Lstat(to); err == nil {
		if err := atomicfile.Replaceable(info); err != nil {
			return err
		}
	}
	return directory.Rename(from, to)
}
