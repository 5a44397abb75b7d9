package ca

import (
	"net/http"
	"path"
	"strings"
)

// public answers over plain HTTP what certificates point to: issuers' certificates
// and CRLs (RFC 5280 §4.2.1.13, §4.2.2.1), and the root. All of it is signed, and over
// HTTPS it would be circular. It serves nothing else.
func (c *CA) public(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	body, kind := c.document(r)
	if body == nil {
		http.Error(w, "not found: this address serves certificates and CRLs; ACME is at "+c.url+"/directory", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("X-Content-Type-Options", "nosniff")
	// Short, so that a revocation is seen within the minute that the issue of it promises.
	h.Set("Cache-Control", "public, max-age=30")
	_, _ = w.Write(body) // a peer that went away gets nothing
}

// document finds what is published under a path, and its media type (RFC 2585 §4, RFC 8555 §9.1).
func (c *CA) document(r *http.Request) ([]byte, string) {
	known := c.known.Load()
	switch dir, file := path.Split(r.URL.Path); dir {
	case "/":
		root := known.roots[0]
		switch file {
		case "root.pem":
			return encodeCertificate(root.certificate.Raw), "application/x-pem-file"
		case "root.der":
			return root.certificate.Raw, "application/pkix-cert"
		}
	case "/roots/", "/issuers/":
		id, ok := strings.CutSuffix(file, ".der")
		if a := known.find(id); ok && a != nil {
			return a.certificate.Raw, "application/pkix-cert"
		}
	case "/crl/":
		if id, ok := strings.CutSuffix(file, ".crl"); ok {
			if known.find(id) != nil { // whoever asks for others costs no look into the database
				return c.list(r.Context(), id), "application/pkix-crl"
			}
		}
	}
	return nil, ""
}
