package ca

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/http"

	"github.com/cairn-ca/cairn/internal/ca/datadir"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/trust"
)

// Page is what people on this machine need to know to use and to trust the CA.
func (c *CA) Page() trust.Page {
	page := pageAt(c.url, c.httpURL, c.known.Load().roots[0].certificate)
	page.Terms, page.KeyNeeded = c.config.Terms, c.config.EAB.Mode == rules.Required
	if c.dir != nil { // only the signer's machine has the file
		page.RootFile = c.dir.RootFile()
	}
	return page
}

// PageOf is Page for a data directory that another process may be using.
func PageOf(dir string) (trust.Page, error) {
	d, err := datadir.Open(datadir.Config{Dir: dir, ReadOnly: true})
	if err != nil {
		return trust.Page{}, err
	}
	defer d.Close()
	addresses, err := d.Addresses()
	if err != nil {
		return trust.Page{}, err
	}
	roots, err := d.Roots()
	if err != nil {
		return trust.Page{}, err
	}
	if len(roots) == 0 || len(addresses.Published) == 0 {
		return trust.Page{}, fmt.Errorf("%s is not whole: it has no root or no addresses", d.Path())
	}
	root, err := parseCertificate(roots[len(roots)-1].Certificate)
	if err != nil {
		return trust.Page{}, fmt.Errorf("reading %s: %w", d.RootFile(), err)
	}
	page := pageAt(addresses.ACME, addresses.Published[0].URL, root)
	page.RootFile = d.RootFile()
	return page, nil
}

// pageAt says what there is to know about a CA whose ACME server is at base. The root
// comes over plain HTTP: a client that does not trust it yet cannot verify its
// HTTPS either, and every instruction compares the fingerprint.
func pageAt(base, httpBase string, root *x509.Certificate) trust.Page {
	return trust.Page{
		Directory: base + "/directory",
		RootPEM:   httpBase + "/root.pem",
		RootDER:   httpBase + "/root.der",
		Root:      root,
		Names:     sign.NamesOf(root).Strings(),
	}
}

// page serves the trust page and the root.
func (c *CA) page(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		c.public(w, r)
		return
	}
	base, httpBase := c.url, c.httpURL
	// A Host that is no HOST[:PORT] is not the CA's, whatever it begins with.
	if asked, err := ParseURL("https://" + r.Host); err == nil && c.own.owns(mustParse(asked).Hostname()) {
		base, httpBase = asked, "http://"+net.JoinHostPort(mustParse(asked).Hostname(), port(c.http))
	}
	page := pageAt(base, httpBase, c.known.Load().roots[0].certificate)
	page.Terms, page.KeyNeeded = c.config.Terms, c.config.EAB.Mode == rules.Required
	trust.SetHeaders(w.Header())
	if err := page.WriteHTML(w); err != nil {
		c.log.Debug("writing the trust page failed", "error", err)
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError) // too late if the peer went away
	}
}
