// Lineages fills a directory with certificates as certbot keeps them, so that it can be measured how long a
// client takes to look at many: go run scripts/testdata/lineages.go -n 1000 DIR. They are for 90 days from today,
// all with the same key; none is due.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

func main() {
	log.SetFlags(0)
	n := flag.Int("n", 1000, "how many")
	server := flag.String("server", "https://127.0.0.1:1/dir", "the directory of the CA that they are from")
	age := flag.Duration("age", 24*time.Hour, "how old they are")
	state := flag.Bool("state", false, "also what cairnbot remembers of each (as if the CA had given renewal information)")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: lineages [-n N] [-server URL] [-age DURATION] [-state] DIR")
	}
	g, err := newGenerator(flag.Arg(0), *server, *age, *state)
	for i := 0; i < *n && err == nil; i++ {
		err = g.lineage(fmt.Sprintf("n%05d.example", i))
	}
	if err != nil {
		log.Fatal(err)
	}
}

type generator struct {
	top, server string
	issuer, key *ecdsa.PrivateKey
	ca          *x509.Certificate
	chain, text []byte // the CA and the key in PEM
	from        time.Time
	state       bool
}

func newGenerator(top, server string, age time.Duration, state bool) (*generator, error) {
	top, err := filepath.Abs(top)
	if err != nil {
		return nil, err
	}
	g := &generator{top: top, server: server, from: time.Now().Add(-age).Truncate(time.Second), state: state}
	for _, key := range []**ecdsa.PrivateKey{&g.issuer, &g.key} {
		if *key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, err
		}
	}
	id := sha256.Sum256([]byte("issuer"))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Issuer of many"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: id[:20], NotBefore: g.from.AddDate(-1, 0, 0), NotAfter: g.from.AddDate(5, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, g.issuer.Public(), g.issuer)
	if err != nil {
		return nil, err
	}
	if g.ca, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(g.key)
	g.chain = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	g.text = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	return g, err
}

func (g *generator) lineage(name string) error {
	serial := make([]byte, 16)
	_, _ = rand.Read(serial)
	serial[0] = 0x4b
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name, "www." + name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore: g.from, NotAfter: g.from.AddDate(0, 0, 90), OCSPServer: []string{"http://ocsp.example"}, IssuingCertificateURL: []string{"http://ca.example/ca"},
		CRLDistributionPoints: []string{"http://crl.example/1.crl"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, g.ca, g.key.Public(), g.issuer)
	if err != nil {
		return err
	}
	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	archive, live, renewal := filepath.Join(g.top, "etc/archive", name), filepath.Join(g.top, "etc/live", name), filepath.Join(g.top, "etc/renewal")
	err = errors.Join(os.MkdirAll(archive, 0o755), os.MkdirAll(live, 0o755), os.MkdirAll(renewal, 0o755))
	conf := "version = 5.6.0\narchive_dir = " + archive + "\n"
	for _, file := range []struct {
		kind string
		text []byte
		mode os.FileMode
	}{{"cert", leaf, 0o644}, {"privkey", g.text, 0o600}, {"chain", g.chain, 0o644}, {"fullchain", append(leaf[:len(leaf):len(leaf)], g.chain...), 0o644}} {
		err = errors.Join(err, os.WriteFile(filepath.Join(archive, file.kind+"1.pem"), file.text, file.mode),
			os.Symlink("../../archive/"+name+"/"+file.kind+"1.pem", filepath.Join(live, file.kind+".pem")))
		conf += file.kind + " = " + filepath.Join(live, file.kind+".pem") + "\n"
	}
	conf += "\n# Options used in the renewal process\n[renewalparams]\naccount = 34ab0252e553ffb25c84ba951e632df4\nserver = " + g.server +
		"\nauthenticator = webroot\nkey_type = ecdsa\nwebroot_path = /var/www/html,\n[[webroot_map]]\n" + name + " = /var/www/html\n"
	err = errors.Join(err, os.WriteFile(filepath.Join(live, "README"), []byte("This directory contains your keys and certificates.\n"), 0o644),
		os.WriteFile(filepath.Join(renewal, name+".conf"), []byte(conf), 0o644))
	if g.state {
		err = errors.Join(err, g.remember(name, der))
	}
	return err
}

// remember writes what the client would have noted after asking the CA.
func (g *generator) remember(name string, der []byte) error {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	encode := base64.RawURLEncoding.EncodeToString
	id := encode(leaf.AuthorityKeyId) + "." + encode(leaf.SerialNumber.Bytes())
	start := leaf.NotBefore.AddDate(0, 0, 60).UTC()
	text := fmt.Sprintf(`{"advice":{"certificate":%q,"server":%q,"start":%q,"end":%q,"moment":%q,"next":%q}}`, id, g.server,
		start.Format(time.RFC3339), start.AddDate(0, 0, 2).Format(time.RFC3339), start.Add(24*time.Hour).Format(time.RFC3339),
		time.Now().Add(6*time.Hour).UTC().Format(time.RFC3339))
	directory := filepath.Join(g.top, "lib/state")
	return errors.Join(os.MkdirAll(directory, 0o700), os.WriteFile(filepath.Join(directory, name+".json"), []byte(text), 0o600))
}
