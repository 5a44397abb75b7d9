package ca

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/datadir"
	"github.com/cairn-ca/cairn/internal/ca/sign"
)

const (
	rootLifetime   = 20 * 365 * 24 * time.Hour
	issuerLifetime = 5 * 365 * 24 * time.Hour
	// issuerReserve is when the next issuer is made: long before the last certificate
	// of the old one would have to be cut short.
	issuerReserve = 365 * 24 * time.Hour
)

// authority is a root or an issuer: a certificate with its key.
type authority struct {
	number      int
	id          string // of an issuer "1", of a root "root-1": the name of its CRL
	certificate *x509.Certificate
	key         crypto.Signer // nil for a root whose key was taken away, and outside the signer's process
	frozen      bool          // the key was taken away, so that the CRL stays as it is
	issuerURL   string        // of what it signs
	crlURLs     []string      // under which its CRL was promised, the present one first
	crosses     []cross       // of an issuer: what other roots say of the same key, the newest root's first
}

// chain is what is served above a leaf: the issuer, without the root.
func (a authority) chain() [][]byte { return [][]byte{a.certificate.Raw} }

// hierarchy is every root and issuer of a CA, the newest first. New certificates
// come from the newest; the others live on for their CRLs.
type hierarchy struct {
	hierarchyConfig
	authorities
	madeRoot bool
}

type hierarchyConfig struct {
	dir       *datadir.Dir
	log       *slog.Logger
	published []datadir.Published // http://HOST:PORT for the URLs in certificates, past ones after the present one
	label     string              // what tells this CA's certificates from another's, for people
	standard  acme.Subtrees       // permitted without asking
	asked     acme.Subtrees       // permitted by request
	usages    []sign.Usage        // what certificates are for: the newest issuer allows all of it
	newRoot   bool

	alternates int // roots that the first run makes beside the newest
}

// openHierarchy loads what there is and makes what is missing: on first use all
// of it, later another root where names are asked for that no root permits and
// newRoot is set, and the next issuer when the present one grows old.
func openHierarchy(c hierarchyConfig) (*hierarchy, error) {
	h := &hierarchy{hierarchyConfig: c}
	now := time.Now()
	if now.Before(written()) {
		return nil, fmt.Errorf("the clock of this machine says that it is %s, which cannot be: set it right, "+
			"since certificates that are made now would be of no use", now.UTC().Format(time.RFC3339))
	}
	if err := h.load(); err != nil {
		return nil, err
	}
	if err := h.makeRoot(now); err != nil {
		return nil, err
	}
	if err := h.makeIssuer(now); err != nil {
		return nil, err
	}
	if err := h.makeCrosses(now); err != nil {
		return nil, err
	}
	return h, nil
}

// written is a moment that no right clock is before any more.
func written() time.Time { return time.Date(2026, time.November, 23, 0, 0, 0, 0, time.UTC) }

// makeRoot makes a root if there is none, or if the present one will not do and the operator wants another.
func (h *hierarchy) makeRoot(now time.Time) error {
	if len(h.roots) == 0 {
		for range h.alternates {
			if err := h.addRoot(h.standard.Union(h.asked), now); err != nil {
				return err
			}
		}
		return h.addRoot(h.standard.Union(h.asked), now)
	}
	root := h.roots[0].certificate
	permitted := sign.NamesOf(root)
	missing := permitted.Missing(h.asked)
	var why error
	switch {
	case len(missing.Strings()) > 0:
		why = fmt.Errorf("the root certificate does not permit %s, and a root cannot be changed", strings.Join(missing.Strings(), ", "))
	case now.Before(root.NotBefore):
		why = fmt.Errorf("the clock says %s, but the root certificate begins at %s: set the clock; if it was wrong when the root was made",
			now.UTC().Format(time.RFC3339), root.NotBefore.Format(time.RFC3339))
	case now.After(root.NotAfter):
		why = fmt.Errorf("the root certificate ended on %s", root.NotAfter.Format(time.DateOnly))
	case root.NotAfter.Sub(now) < issuerReserve:
		if !h.newRoot {
			h.log.Warn("the root certificate ends within a year", "end", root.NotAfter, "remedy", "add --new-root, and trust the new root everywhere before that")
			return nil
		}
	default:
		if h.newRoot {
			h.log.Info("no new root is needed: the present one permits the names", "root", h.roots[0].id)
		}
		return nil
	}
	if why != nil && !h.newRoot {
		return fmt.Errorf("%w: add --new-root to make another one beside it, which has to be trusted anew", why)
	}
	return h.addRoot(h.standard.Union(h.asked).Union(permitted), now)
}

// addRoot makes a root for names. It becomes the newest.
func (h *hierarchy) addRoot(names acme.Subtrees, now time.Time) error {
	n := len(h.roots) + 1
	key, err := sign.NewKey(elliptic.P384())
	if err != nil {
		return err
	}
	der, err := sign.NewRoot(key, sign.CAConfig{
		CommonName: commonName("root", n, h.label),
		Names:      names, NotBefore: now.Add(-time.Hour), Lifetime: rootLifetime,
	})
	if err != nil {
		return err
	}
	keyPEM, err := sign.EncodeKey(key)
	if err != nil {
		return err
	}
	if _, err := h.dir.AddRoot(encodeCertificate(der), keyPEM); err != nil {
		return err
	}
	h.madeRoot = true
	h.log.Info("a root was made", "root", n, "names", names.Strings())
	return h.load()
}

// commonName names a root or an issuer for people. No other has the same name, since
// verifiers look certificates up by it.
func commonName(kind string, n int, label string) string {
	var unique [3]byte
	_, _ = rand.Read(unique[:]) // never fails
	return fmt.Sprintf("Cairn %s %d of %.30s (%x)", kind, n, label, unique)
}

// makeIssuer makes an issuer under the newest root if there is none, or none with enough life left,
// or none for what the profiles' certificates are for.
func (h *hierarchy) makeIssuer(now time.Time) error {
	root := h.roots[0]
	if len(h.issuers) > 0 {
		newest := h.issuers[0].certificate
		under := newest.CheckSignatureFrom(root.certificate) == nil
		longest := !newest.NotAfter.Before(root.certificate.NotAfter) // no other could last longer
		missing := sign.MissingUsages(newest, h.usages)
		if left := newest.NotAfter.Sub(now); under && len(missing) == 0 && (left > issuerReserve || longest) {
			return nil
		} else if under && root.key == nil && len(missing) > 0 {
			return fmt.Errorf("a profile has extended key usages that the issuer does not allow (%s), and another issuer needs the root's key: %w", missing, h.noKey())
		} else if under && root.key == nil {
			if left <= 0 {
				return fmt.Errorf("the issuer's certificate has ended, and the next one needs the root's key: %w", h.noKey())
			}
			h.log.Warn("the issuer's certificate ends soon, and the next one needs the root's key",
				"end", newest.NotAfter, "remedy", h.noKey())
			return nil
		}
	}
	if root.key == nil {
		return fmt.Errorf("making an issuer needs the root's key: %w", h.noKey())
	}
	n := len(h.issuers) + 1
	key, err := sign.NewKey(elliptic.P256())
	if err != nil {
		return err
	}
	notBefore := now.Add(-time.Hour)
	rest := root.certificate.NotAfter.Sub(notBefore.Truncate(time.Second)) + time.Second // no issuer outlives its root
	der, err := sign.NewIntermediate(key.Public(), root.issuer(), sign.CAConfig{
		CommonName: commonName("issuer", n, h.label),
		Names:      sign.NamesOf(root.certificate), NotBefore: notBefore, Lifetime: min(issuerLifetime, rest),
		IssuerURL: root.issuerURL, CRLURL: root.crlURLs[0], Usages: h.usages,
	})
	if err != nil {
		return err
	}
	keyPEM, err := sign.EncodeKey(key)
	if err != nil {
		return err
	}
	if _, err := h.dir.AddIssuer(encodeCertificate(der), keyPEM); err != nil {
		return err
	}
	h.log.Info("an issuer was made", "issuer", n, "root", root.id)
	return h.load()
}

// load reads every root and issuer, the newest first.
func (h *hierarchy) load() error {
	h.roots, h.issuers = nil, nil
	roots, err := h.dir.Roots()
	if err != nil {
		return err
	}
	for _, pair := range roots {
		a, err := h.authority("root-"+strconv.Itoa(pair.Number), pair)
		if err != nil {
			return fmt.Errorf("loading root %d: %w", pair.Number, err)
		}
		a.issuerURL = h.published[0].URL + "/roots/" + a.id + ".der"
		h.roots = append(h.roots, a)
	}
	issuers, err := h.dir.Issuers()
	if err != nil {
		return err
	}
	for _, pair := range issuers {
		a, err := h.authority(strconv.Itoa(pair.Number), pair)
		if err != nil {
			return fmt.Errorf("loading issuer %d: %w", pair.Number, err)
		}
		a.issuerURL = h.published[0].URL + "/issuers/" + a.id + ".der"
		if a.crosses, err = h.loadCrosses(a.number); err != nil {
			return fmt.Errorf("loading issuer %d: %w", pair.Number, err)
		}
		h.issuers = append(h.issuers, a)
	}
	slices.Reverse(h.roots)
	slices.Reverse(h.issuers)
	return nil
}

// authority reads a certificate and its key, and under which URLs its CRL was promised.
func (h *hierarchy) authority(id string, pair datadir.Pair) (a authority, err error) {
	a.id, a.number = id, pair.Number
	if a.certificate, err = parseCertificate(pair.Certificate); err != nil {
		return a, fmt.Errorf("its certificate: %w", err)
	}
	if pair.Key != nil {
		if a.key, err = sign.ParseKey(pair.Key); err != nil {
			return a, fmt.Errorf("its key: %w", err)
		}
	}
	a.frozen = a.key == nil
	// Certificates keep the URL that they were issued with, so a list names all that were ever used.
	for _, place := range h.published {
		a.crlURLs = append(a.crlURLs, place.URL+"/crl/"+id+".crl")
	}
	return a, nil
}

// noKey is the error that says where the newest root's key belongs.
func (h *hierarchy) noKey() error {
	_, err := h.dir.RootKey(h.roots[0].number)
	return err
}

func (a authority) issuer() sign.Issuer {
	return sign.Issuer{
		ID: a.id, Certificate: a.certificate, Key: a.key, Chain: a.chain(),
		IssuerURL: a.issuerURL, CRLURL: a.crlURLs[0],
	}
}

// signers lists all whose key is at hand, the one that issues first.
func (h *hierarchy) signers() (all []sign.Issuer) {
	for _, a := range slices.Concat(h.issuers, h.roots) {
		if a.key != nil {
			all = append(all, a.issuer())
		}
	}
	return all
}
