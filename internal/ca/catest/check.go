package catest

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"

	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// CheckCA checks the promises of an authority that has stopped, by its data
// directory: it reads the database by itself, not through the store. served is
// what clients were given, if the test knows.
//
//   - the database is whole;
//   - one serial, at most one certificate; one order, at most one that is not abandoned;
//   - every certificate is what was reserved, chains to its issuer and root, and lints;
//   - a serial is reserved only for an order that is processing, and so will be taken up;
//   - everything that clients were given is there, and issued;
//   - an order is valid exactly if it has a certificate, and that is issued for it;
//   - no work is left on what is final;
//   - every list is signed by its issuer or root, under the number that it is stored with;
//   - what is revoked or abandoned, and nothing else, is on the newest CRL if that is
//     not stale, and on one issuer's only.
func CheckCA(t testing.TB, dir string, served ...*x509.Certificate) {
	t.Helper()
	Seen{Certificates: served}.CheckCA(t, dir)
}

// Seen is what clients were given.
type Seen struct {
	Certificates []*x509.Certificate
	// Lists are CRLs that were published: none that is stored is older, nor another one with the same number.
	Lists []*x509.RevocationList
	// Database is the URL of the authority's database if that is PostgreSQL.
	Database string
}

// CheckCA is CheckCA for what was seen.
func (s Seen) CheckCA(t testing.TB, dir string) {
	t.Helper()
	c := &checker{t: t, dir: dir, database: s.Database, issuers: map[string]*x509.Certificate{}, signers: map[string]*x509.Certificate{}}
	c.open()
	defer c.db.Close()
	c.loadAuthorities()
	certificates := c.certificates()
	for _, leaf := range s.Certificates {
		stored, ok := certificates[hex.EncodeToString(leaf.SerialNumber.Bytes())]
		if !ok || stored.state != rules.Issued || string(stored.der) != string(leaf.Raw) {
			t.Errorf("serial %x was given to a client, and the store does not have it so (found: %v, %s)", leaf.SerialNumber, ok, stored.state)
		}
	}
	c.orders(certificates)
	c.crls(certificates, s.Lists)
}

// checker reads a stopped authority's directory.
type checker struct {
	t        testing.TB
	dir      string
	database string
	db       *sql.DB
	roots    *x509.CertPool
	issuers  map[string]*x509.Certificate // by ID
	signers  map[string]*x509.Certificate // of CRLs, by ID: the issuers and the roots
}

// row is a certificate in the database.
type row struct {
	serial, issuer, order string
	state                 rules.State
	digest, der           []byte
	notAfter              int64
	revoked               int64
}

func (c *checker) open() {
	c.t.Helper()
	var err error
	if c.database != "" {
		if c.db, err = sql.Open("pgx", c.database); err != nil {
			c.t.Fatal(err)
		}
		return
	}
	if c.db, err = sql.Open("sqlite", filepath.Join(c.dir, "cairn.db")); err != nil {
		c.t.Fatal(err)
	}
	var verdict string
	if err := c.db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		c.t.Fatalf("the database is not whole: %s %v", verdict, err)
	}
}

func (c *checker) loadAuthorities() {
	c.t.Helper()
	c.roots = x509.NewCertPool()
	for number, root := range c.glob("roots/*/root.pem") {
		c.roots.AddCert(root)
		c.signers["root-"+number] = root
	}
	for number, issuer := range c.glob("issuers/*/issuer.pem") {
		c.issuers[number], c.signers[number] = issuer, issuer
	}
	if len(c.issuers) == 0 {
		c.t.Fatalf("%s has no issuer", c.dir)
	}
}

// glob reads the certificates of a directory each, by the directory's name.
func (c *checker) glob(pattern string) map[string]*x509.Certificate {
	c.t.Helper()
	found := map[string]*x509.Certificate{}
	files, _ := filepath.Glob(filepath.Join(c.dir, pattern))
	for _, file := range files {
		found[filepath.Base(filepath.Dir(file))] = c.read(file)
	}
	return found
}

func (c *checker) read(file string) *x509.Certificate {
	c.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		c.t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		c.t.Fatalf("%s: %v", file, err)
	}
	return certificate
}

// query calls scan for each row.
func (c *checker) query(query string, scan func(*sql.Rows) error) {
	c.t.Helper()
	rows, err := c.db.QueryContext(context.Background(), query)
	if err != nil {
		c.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		c.t.Fatal(err)
	}
}

// certificates reads and checks every certificate. That a serial is there once
// is the primary key's doing.
func (c *checker) certificates() map[string]row {
	c.t.Helper()
	all := map[string]row{}
	live := map[string]string{}
	c.query("SELECT serial, issuer, order_id, state, digest, der, not_after, revoked FROM certificates", func(rows *sql.Rows) error {
		var r row
		if err := rows.Scan(&r.serial, &r.issuer, &r.order, &r.state, &r.digest, &r.der, &r.notAfter, &r.revoked); err != nil {
			return err
		}
		all[r.serial] = r
		if r.state != rules.Abandoned {
			if other, twice := live[r.order]; twice {
				c.t.Errorf("order %s has two certificates: %s and %s", r.order, other, r.serial)
			}
			live[r.order] = r.serial
		}
		if err := c.check(r); err != nil {
			c.t.Errorf("certificate %s (%s): %v", r.serial, r.state, err)
		}
		return nil
	})
	return all
}

// check checks one certificate by itself.
func (c *checker) check(r row) error {
	switch {
	case r.state == rules.Abandoned && (r.revoked == 0 || len(r.der) != 0):
		return errors.New("it was abandoned, but is not revoked or has been stored")
	case r.state == rules.Reserved && len(r.der) != 0:
		return errors.New("it was stored, but is not settled")
	case r.state != rules.Issued:
		return nil
	}
	leaf, err := x509.ParseCertificate(r.der)
	if err != nil {
		return err
	}
	if digest := sha256.Sum256(leaf.RawTBSCertificate); hex.EncodeToString(leaf.SerialNumber.Bytes()) != r.serial || string(digest[:]) != string(r.digest) {
		return errors.New("it is not what was reserved")
	}
	issuer := c.issuers[r.issuer]
	if issuer == nil {
		return fmt.Errorf("there is no issuer %q", r.issuer)
	}
	intermediates := x509.NewCertPool()
	intermediates.AddCert(issuer)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: c.roots, Intermediates: intermediates, CurrentTime: leaf.NotBefore.Add(time.Minute), KeyUsages: leaf.ExtKeyUsage}); err != nil {
		return err
	}
	return lintRFC(r.der)
}

// lintRFC lints by itself, with the RFC's sources only and nothing left out but what is slow, and
// what RFC 5280 §4.2.1.2 would have in a certificate and BR §7.1.2.7.6 would not.
func lintRFC(der []byte) error {
	registry, err := lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: lint.SourceList{lint.RFC5280, lint.RFC5480, lint.RFC8813}})
	if err != nil {
		return err
	}
	parsed, err := zx509.ParseCertificate(der)
	if err != nil {
		return err
	}
	for name, result := range zlint.LintCertificateEx(parsed, registry).Results {
		if result.Status > lint.Notice && name != "w_ext_subject_key_identifier_missing_sub_cert" {
			return fmt.Errorf("lint %s: %s %s", name, result.Status, result.Details)
		}
	}
	return nil
}

// orders checks that orders and certificates agree.
func (c *checker) orders(certificates map[string]row) {
	c.t.Helper()
	underWay := map[string]bool{}
	c.query("SELECT id, serial, error, length(csr) > 0, due, lease_until FROM orders", func(rows *sql.Rows) error {
		var id, serial, problem string
		var processing bool
		var due, lease int64
		if err := rows.Scan(&id, &serial, &problem, &processing, &due, &lease); err != nil {
			return err
		}
		certificate := certificates[serial]
		underWay[id] = processing && serial == "" && problem == ""
		switch {
		case serial != "" && (certificate.state != rules.Issued || certificate.order != id):
			c.t.Errorf("order %s is valid, but its certificate %s is %q for order %s", id, serial, certificate.state, certificate.order)
		case serial != "" && (problem != "" || processing):
			c.t.Errorf("order %s has a certificate and is not done", id)
		case (serial != "" || problem != "") && (due != 0 || lease != 0):
			c.t.Errorf("order %s is final, and there is work left on it", id)
		case processing && due == 0:
			c.t.Errorf("order %s is processing, and nobody will take it up", id)
		}
		return nil
	})
	for serial, r := range certificates {
		if r.state == rules.Reserved && !underWay[r.order] {
			c.t.Errorf("serial %s is reserved, and nobody will issue or abandon it: its order %s is not processing", serial, r.order)
		}
	}
	c.authorizations()
}

// authorizations checks that what is to be done is done, and nothing else.
func (c *checker) authorizations() {
	c.t.Helper()
	c.query("SELECT id, status, challenges LIKE '%processing%', due FROM authzs", func(rows *sql.Rows) error {
		var id, status string
		var processing bool
		var due int64
		if err := rows.Scan(&id, &status, &processing, &due); err != nil {
			return err
		}
		if status == "pending" && processing && due == 0 {
			c.t.Errorf("authorization %s is processing, and nobody will take it up", id)
		}
		if status != "pending" && due != 0 {
			c.t.Errorf("authorization %s is %s, and there is work left on it", id, status)
		}
		return nil
	})
}

// crls checks each issuer's and root's newest CRL against what is revoked, and what was seen.
func (c *checker) crls(certificates map[string]row, seen []*x509.RevocationList) {
	c.t.Helper()
	listed := map[string]string{} // serial → issuer
	fresh := map[string]bool{}
	newest := map[string]*x509.RevocationList{}
	c.query("SELECT c.issuer, c.number, c.der, c.revision = COALESCE((SELECT SUM(revision) FROM revisions r WHERE r.issuer = c.issuer), 0) FROM crls c", func(rows *sql.Rows) error {
		var issuer string
		var number int64
		var der []byte
		var upToDate bool
		if err := rows.Scan(&issuer, &number, &der, &upToDate); err != nil {
			return err
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return err
		}
		fresh[issuer], newest[issuer] = upToDate, list
		c.crl(issuer, number, list)
		for _, entry := range list.RevokedCertificateEntries {
			serial := hex.EncodeToString(entry.SerialNumber.Bytes())
			if other, twice := listed[serial]; twice {
				c.t.Errorf("serial %s is on the CRLs of issuers %s and %s", serial, other, issuer)
			}
			listed[serial] = issuer
			if certificates[serial].revoked == 0 {
				c.t.Errorf("serial %s is on a CRL, but not revoked", serial)
			}
		}
		return nil
	})
	for serial, r := range certificates {
		if r.revoked != 0 && fresh[r.issuer] && listed[serial] != r.issuer && r.notAfter > time.Now().UnixMilli() {
			c.t.Errorf("serial %s is revoked, but not on the CRL of its issuer, which is up to date", serial)
		}
	}
	for _, list := range seen {
		c.follows(newest, list)
	}
}

// crl checks one list by itself.
func (c *checker) crl(issuer string, number int64, list *x509.RevocationList) {
	c.t.Helper()
	if list.Number == nil || list.Number.Cmp(big.NewInt(number)) != 0 {
		c.t.Errorf("CRL %d of issuer %s is numbered %s", number, issuer, list.Number)
	}
	if signer := c.signers[issuer]; signer == nil {
		c.t.Errorf("there is a CRL of issuer %s, but no such issuer or root", issuer)
	} else if err := list.CheckSignatureFrom(signer); err != nil {
		c.t.Errorf("CRL of issuer %s: %v", issuer, err)
	}
}

// follows checks that the newest lists were not published before seen was (RFC 5280 §5.2.3).
func (c *checker) follows(newest map[string]*x509.RevocationList, seen *x509.RevocationList) {
	c.t.Helper()
	for issuer, signer := range c.signers {
		if seen.CheckSignatureFrom(signer) != nil {
			continue
		}
		switch list := newest[issuer]; {
		case list == nil || list.Number.Cmp(seen.Number) < 0:
			c.t.Errorf("CRL %s of issuer %s was published, and a newer one is not stored", seen.Number, issuer)
		case list.Number.Cmp(seen.Number) == 0 && string(list.Raw) != string(seen.Raw):
			c.t.Errorf("two CRLs of issuer %s have the number %s", issuer, seen.Number)
		}
		return
	}
	c.t.Errorf("CRL %s of %s was published, and none of the issuers and roots has signed it", seen.Number, seen.Issuer)
}
