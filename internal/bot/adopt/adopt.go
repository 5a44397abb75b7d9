// Package adopt takes over what other ACME clients keep: certificates with their keys, accounts, and how control was proven.
// It reads their directories, runs nothing of theirs, and changes nothing there.
package adopt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// Source is a client whose files can be read.
type Source string

// The sources.
const (
	AcmeSh     Source = "acme.sh"
	Lego       Source = "lego"
	Dehydrated Source = "dehydrated"
	Caddy      Source = "caddy"
)

// Sources are all of them.
func Sources() []Source { return []Source{AcmeSh, Lego, Dehydrated, Caddy} }

// Config says what is read, and how it is to be understood.
type Config struct {
	Source Source
	Dir    string // where the client keeps its files
	// Server is the directory URL of the CA, for files that do not say it; "" where nobody knows.
	Server string
	// Provider finds a DNS provider of ours by its name: it gives the names of its settings, as credential files
	// have them behind the provider's prefix, by the environment variables that lego knows them by. Nil knows none.
	Provider func(name string) (settings map[string]string, ok bool)
}

// Found is what a client has.
type Found struct {
	Certificates []Certificate
	Accounts     []*Account
	Notes        []string // what cannot be carried over for all of it, and what to do
}

// Certificate is a certificate that can become a lineage.
type Certificate struct {
	Name     string // of the lineage
	From     string // where it was found
	Material lineage.Material
	Params   lineage.Params // without Account
	Account  *Account       // nil where there is none that can be carried over
	DNS      *Credentials   // nil unless control is proven by a DNS provider
	Notes    []string       // what cannot be carried over, and what to do
}

// Account is a registration with a CA.
type Account struct {
	From   string
	Server string // the URL of the directory
	URL    string // of the account
	Key    crypto.Signer
}

// Credentials are what a DNS provider wants to see, as certbot's plugins name it.
type Credentials struct {
	Provider string
	Values   map[string]string // dns_PROVIDER_KEY → value
}

// Read finds what a client has. A certificate that cannot be read is in the notes, and keeps no other from being found.
func Read(c Config) (*Found, error) {
	info, err := os.Stat(c.Dir)
	if err == nil && !info.IsDir() && c.Source != Dehydrated {
		err = errors.New("it is not a directory")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the files of %s: %w", c.Source, err)
	}
	read, ok := map[Source]func(*reader) error{
		AcmeSh: (*reader).acmeSh, Lego: (*reader).lego, Dehydrated: (*reader).dehydrated, Caddy: (*reader).caddy,
	}[c.Source]
	if !ok {
		return nil, fmt.Errorf("there is no importer for %q: there are %v", c.Source, Sources())
	}
	r := &reader{config: c, found: new(Found)}
	if err := read(r); err != nil {
		return nil, fmt.Errorf("reading the files of %s in %s: %w", c.Source, c.Dir, err)
	}
	r.distinct()
	return r.found, nil
}

// reader collects what is found.
type reader struct {
	config Config
	found  *Found
}

func (r *reader) note(format string, args ...any) {
	r.found.Notes = append(r.found.Notes, fmt.Sprintf(format, args...))
}

// note adds what cannot be carried over.
func (c *Certificate) note(format string, args ...any) {
	c.Notes = append(c.Notes, fmt.Sprintf(format, args...))
}

// maxFile bounds what is read of a file: certificates, keys and settings are small.
const maxFile = 1 << 20

// maxEntries bounds how many files of a directory are looked at.
const maxEntries = 100_000

// text reads a small file. What is no file, such as a pipe, is not even opened: that could wait for ever.
func text(path string) ([]byte, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it may be a pipe by now
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is not a file of at most %d bytes", path, maxFile)
	}
	return io.ReadAll(io.LimitReader(file, maxFile))
}

// entries lists a directory in the order of the names, or nothing.
func entries(directory string) []string {
	list, err := os.ReadDir(directory)
	if err != nil {
		return nil
	}
	var names []string
	for _, entry := range list[:min(len(list), maxEntries)] {
		names = append(names, entry.Name())
	}
	return names
}

// begin makes a certificate of its files. Where chain is not "", it is added to what cert has.
func (r *reader) begin(name, key, cert, chain string) (*Certificate, bool) {
	made, err := load(name, key, cert, chain)
	if err != nil {
		r.note("%s is left out: %v", cert, err)
		return nil, false
	}
	return made, true
}

func load(name, keyFile, certFile, chainFile string) (*Certificate, error) {
	cert, err := text(certFile)
	if err != nil {
		return nil, err
	}
	key, err := text(keyFile)
	if err != nil {
		return nil, err
	}
	if chainFile != "" {
		chain, err := text(chainFile)
		if err != nil {
			return nil, err
		}
		cert = append(append(cert, '\n'), chain...)
	}
	material, err := lineage.NewMaterial(key, cert)
	if err != nil {
		return nil, err
	}
	leaf, err := material.Leaf()
	if err != nil {
		return nil, err
	}
	c := &Certificate{Name: name, From: certFile, Material: material}
	if c.Name == "" {
		ids := acme.CertificateIdentifiers(leaf)
		if len(ids) == 0 {
			return nil, errors.New("it is for no name")
		}
		base, _ := ids[0].Base()
		c.Name = base.Value
	}
	if err := lineage.CheckName(c.Name); err != nil {
		return nil, err
	}
	return c, c.keyOf(leaf)
}

// curves are the names that configurations have.
var curves = map[elliptic.Curve]string{elliptic.P256(): "secp256r1", elliptic.P384(): "secp384r1", elliptic.P521(): "secp521r1"}

// keyOf notes which kind of key a certificate has, so that the next one is of that kind, too.
func (c *Certificate) keyOf(leaf *x509.Certificate) error {
	switch key := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		c.Params.KeyType, c.Params.RSAKeySize = "rsa", key.N.BitLen()
	case *ecdsa.PublicKey:
		c.Params.KeyType, c.Params.EllipticCurve = "ecdsa", curves[key.Curve]
	default:
		return fmt.Errorf("its key is of the type %T", key)
	}
	return nil
}

// account reads a key and adds the account that it is for, once. It gives nil, with a note, where that cannot be carried over.
func (r *reader) account(server, address, keyFile string) *Account {
	if address == "" || !absolute(address) {
		r.note("the account of %s is not carried over, for its URL is not written there: a new one is made at the first renewal", keyFile)
		return nil
	}
	if server == "" {
		r.note("the account of %s is not carried over, for the directory of its CA is not written there: say which it is with --server", keyFile)
		return nil
	}
	content, err := text(keyFile)
	if err != nil {
		r.note("the account at %s is not carried over: %v", server, err)
		return nil
	}
	key, err := lineage.ParseKey(content)
	if err == nil {
		_, err = lineage.AccountID(key.Public())
	}
	switch key.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey:
	default:
		err = errors.Join(err, errors.New("certbot's files have no place for such a key"))
	}
	if err != nil {
		r.note("the account of %s is not carried over: %v", keyFile, err)
		return nil
	}
	for _, a := range r.found.Accounts {
		if a.URL == address && a.Server == server {
			return a
		}
	}
	a := &Account{From: keyFile, Server: server, URL: address, Key: key}
	r.found.Accounts = append(r.found.Accounts, a)
	return a
}

// absolute reports whether text is the URL of something on the web.
func absolute(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// host is the host and port of an URL, or "".
func host(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Host
}

// directories are those of CAs that clients name by their host alone.
var directories = map[string]string{
	"acme-v02.api.letsencrypt.org":         "https://acme-v02.api.letsencrypt.org/directory",
	"acme-staging-v02.api.letsencrypt.org": "https://acme-staging-v02.api.letsencrypt.org/directory",
	"acme.zerossl.com":                     "https://acme.zerossl.com/v2/DV90",
	"dv.acme-v02.api.pki.goog":             "https://dv.acme-v02.api.pki.goog/directory",
	"api.buypass.com":                      "https://api.buypass.com/acme/directory",
}

// serverAt is the directory of the CA at a host: a known one, or the one that the operator names.
func (r *reader) serverAt(hostname string) string {
	if server, ok := directories[hostname]; ok {
		return server
	}
	if hostname != "" && host(r.config.Server) == hostname {
		return r.config.Server
	}
	return ""
}

// add takes a certificate in.
func (r *reader) add(c *Certificate) {
	if c.Params.Server == "" && c.Account != nil {
		c.Params.Server = c.Account.Server
	}
	if c.Params.Server == "" {
		c.Params.Server = r.config.Server
		if c.Params.Server == "" {
			c.note("its CA is not written there: without --server URL the first renewal asks the default CA")
		}
	}
	r.found.Certificates = append(r.found.Certificates, *c)
}

// distinct gives certificates of one name different ones: most often one is for an RSA key, and one for an ECDSA key.
func (r *reader) distinct() {
	taken := make(map[string]bool)
	for i := range r.found.Certificates {
		c := &r.found.Certificates[i]
		name := c.Name
		if taken[name] {
			name += "-" + c.Params.KeyType
		}
		for n := 2; taken[name]; n++ {
			name = fmt.Sprintf("%s-%s-%d", c.Name, c.Params.KeyType, n)
		}
		c.Name = name
		taken[name] = true
	}
}

// inside joins names to a path below the directory, and refuses those that lead elsewhere.
func inside(directory string, names ...string) (string, bool) {
	for _, name := range names {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return "", false
		}
	}
	return filepath.Join(slices.Insert(slices.Clone(names), 0, directory)...), true
}
