package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// maxCSR is far more than the request for a hundred names and a large RSA key.
const maxCSR = 256 << 10

// certifyRequest gets a certificate for a signing request of somebody else's (certonly --csr). There is no lineage:
// its three files go to where the options say, and nothing will renew it.
func (a *app) certifyRequest(ctx context.Context) error {
	der, names, err := a.readCSR()
	if err != nil {
		return err
	}
	out, err := a.csrFiles()
	if err != nil {
		return err
	}
	s, err := a.settle(nil)
	if err != nil {
		return err
	}
	if s.undecided(names) {
		if err := a.askMethod(ctx, names); err != nil {
			return err
		}
	}
	if s, err = a.settle(nil); err != nil {
		return err
	}
	plan := renew.Plan{Action: renew.Create, Identifiers: names, Lineage: fmt.Sprintf("csr=%x", sha256.Sum256(der))}
	obtainer, err := a.obtainer(ctx, &s, names, "")
	if err != nil {
		return err
	}
	a.say("%s %s", a.undertaking(plan), summary(names))
	a.hooks.before(ctx, &s.params)
	issued, err := obtainer.Obtain(ctx, renew.Want{
		Lineage: plan.Lineage, Identifiers: names, CSR: der,
		Chain: s.params.PreferredChain, Profile: s.params.RequiredProfile, PreferredProfile: s.params.PreferredProfile,
	}, nil)
	if err != nil {
		a.hooks.missed(values(names))
		return a.explainServer(err, &s)
	}
	if a.dryRun {
		a.simulated()
		return nil
	}
	if err := out.write(issued.Chain); err != nil {
		return withHint(err, "the certificate is not lost: the next run with this request writes it without another order")
	}
	a.done(plan.Lineage)
	a.saved(out, issued.Chain)
	return nil
}

// readCSR reads what --csr names. Certbot looks at it while it reads its arguments, hence its exit code.
func (a *app) readCSR() ([]byte, []acme.Identifier, error) {
	file, err := os.Open(a.csr)
	if err != nil {
		return nil, nil, usagef("argument --csr: %v", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxCSR+1))
	switch {
	case err != nil:
		return nil, nil, usagef("argument --csr: %v", err)
	case len(text) > maxCSR:
		return nil, nil, usagef("argument --csr: %s is too large for a certificate request", a.csr)
	}
	der, names, err := renew.ParseCSR(text)
	if err != nil {
		return nil, nil, usagef("argument --csr: %s: %v", a.csr, err)
	}
	for _, domain := range a.domains {
		if !slices.Contains(names, acme.IdentifierFor(domain)) {
			return nil, nil, withHint(errInconsistent, "the request is for %s: leave -d out", summary(names))
		}
	}
	if len(a.domains) > 0 && len(a.domains) != len(names) {
		return nil, nil, withHint(errInconsistent, "the request is for %s: leave -d out", summary(names))
	}
	return der, names, nil
}

// csrFiles are where the certificate for a signing request goes, and what belongs to it.
type csrFiles struct{ cert, chain, fullchain outFile }

// outFile is a file that does not exist yet. One that nobody has named gets a number in front, as certbot's do.
type outFile struct {
	path  string
	exact bool
}

// csrFiles refuses what is there already before anything is ordered.
func (a *app) csrFiles() (*csrFiles, error) {
	out := new(csrFiles)
	for _, f := range []struct {
		file                    *outFile
		option, path, otherwise string
	}{
		{&out.cert, "cert-path", a.certPath, "cert.pem"},
		{&out.chain, "chain-path", a.chainPath, "chain.pem"},
		{&out.fullchain, "fullchain-path", a.fullchainPath, "chain.pem"}, // certbot names it so, too
	} {
		path, err := filepath.Abs(cmp.Or(f.path, f.otherwise))
		if err != nil {
			return nil, err
		}
		*f.file = outFile{path: path, exact: f.path != ""}
		if _, err := os.Lstat(path); err == nil && f.file.exact {
			return nil, withHint(fmt.Errorf("--%s %s: the file exists", f.option, f.path), "move it away, or give another path")
		}
	}
	return out, nil
}

// write writes the certificate, those above it, and all in one.
func (f *csrFiles) write(chain *acme.Chain) error {
	all := chain.PEM(0)
	above := chain.PEM(1)
	leaf := all[:len(all)-len(above)]
	for _, part := range []struct {
		file *outFile
		text []byte
	}{{&f.cert, leaf}, {&f.chain, above}, {&f.fullchain, all}} {
		if err := part.file.write(part.text); err != nil {
			return fmt.Errorf("writing the certificate: %w", err)
		}
	}
	return nil
}

// maxNumbered is how many files of one name certbot makes.
const maxNumbered = 10000

// write makes the file, never over another, and notes in f where.
func (f *outFile) write(text []byte) error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
		return err
	}
	path := f.path
	for number := range maxNumbered {
		if !f.exact {
			path = filepath.Join(filepath.Dir(f.path), fmt.Sprintf("%04d_%s", number, filepath.Base(f.path)))
		}
		// Whole or not at all: the run after a crash, which writes all again, would not take half a file for ours.
		err := atomicfile.Create(path, text, 0o644)
		if errors.Is(err, fs.ErrExist) && !f.exact {
			continue
		}
		if err == nil {
			f.path = path
		}
		return err
	}
	return fmt.Errorf("%s: there are %d files of that name", f.path, maxNumbered)
}

// saved says where the files are.
func (a *app) saved(out *csrFiles, chain *acme.Chain) {
	leaf := chain.Certificates[0]
	a.say("\nSuccessfully received certificate.")
	a.say("Certificate is saved at:            %s", out.cert.path)
	a.say("Intermediate CA chain is saved at:  %s", out.chain.path)
	a.say("Full certificate chain is saved at: %s", out.fullchain.path)
	a.say("This certificate expires on %s.\n", leaf.NotAfter.UTC().Format(time.DateOnly))
	a.say("NEXT STEPS:")
	a.say("- Certificates for a signing request (--csr) are not renewed by themselves: get the next one in the same way before this one expires.")
	a.result = csrJSON{Identifiers: values(acme.CertificateIdentifiers(leaf)), NotAfter: leaf.NotAfter.UTC(),
		Certificate: out.cert.path, Chain: out.chain.path, Fullchain: out.fullchain.path}
}

// csrJSON is the result of certonly --csr.
type csrJSON struct {
	Identifiers []string  `json:"identifiers"`
	NotAfter    time.Time `json:"not_after"`
	Certificate string    `json:"cert_path"`
	Chain       string    `json:"chain_path"`
	Fullchain   string    `json:"fullchain_path"`
}
