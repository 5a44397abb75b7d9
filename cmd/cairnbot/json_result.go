package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// certificateJSON is a certificate on this machine, for programs.
type certificateJSON struct {
	Name        string    `json:"name"`
	Identifiers []string  `json:"identifiers"`
	Serial      string    `json:"serial"`   // in hexadecimal digits
	KeyType     string    `json:"key_type"` // ecdsa or rsa
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Status      string    `json:"status"` // as "certificates" says it: VALID: 89 days
	Valid       bool      `json:"valid"`
	Server      string    `json:"server"` // where renewals are asked for
	Certificate string    `json:"cert_path"`
	Key         string    `json:"key_path"`
	Chain       string    `json:"chain_path"`
	Fullchain   string    `json:"fullchain_path"`
}

// describeLineage gives programs what "certificates" gives people.
func describeLineage(c listed, now time.Time) certificateJSON {
	l, leaf := c.lineage, c.leaf
	params, _ := l.Conf.Params() // a lineage whose options are malformed can still be shown
	status := c.validity(params.Server, now)
	return certificateJSON{
		Name: l.Name, Identifiers: values(acme.CertificateIdentifiers(leaf)), Serial: fmt.Sprintf("%x", leaf.SerialNumber),
		KeyType: strings.ToLower(keyType(leaf)), NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(),
		Status: status, Valid: strings.HasPrefix(status, "VALID"), Server: params.Server,
		Certificate: l.Path(lineage.Cert), Key: l.Path(lineage.Key), Chain: l.Path(lineage.Chain), Fullchain: l.Path(lineage.Fullchain),
	}
}

// invalidJSON is a renewal configuration that cannot be used.
type invalidJSON struct {
	Path  string `json:"path"`
	Error string `json:"error"`
}

func invalidList(broken []lineage.Broken) []invalidJSON {
	list := make([]invalidJSON, 0, len(broken))
	for _, b := range broken {
		list = append(list, invalidJSON{b.Path, oneLine(b.Err.Error())})
	}
	return list
}

// certonlyJSON is the result of certonly.
type certonlyJSON struct {
	Action      string           `json:"action"` // created, renewed or kept
	Certificate *certificateJSON `json:"certificate"`
}

// obtained notes the result of a verb that ends with one certificate.
func (a *app) obtained(action string, l *lineage.Lineage) {
	a.placed = l
	r := certonlyJSON{Action: action}
	if leaf, err := l.Leaf(); err == nil {
		described := describeLineage(listed{lineage: l, leaf: leaf}, time.Now())
		r.Certificate = &described
	}
	a.result = r
}

// certificatesJSON is the result of certificates.
type certificatesJSON struct {
	Certificates []certificateJSON `json:"certificates"`
	Invalid      []invalidJSON     `json:"invalid"`
}

// renewJSON is the result of renew.
type renewJSON struct {
	Certificates []renewalJSON `json:"certificates"`
	Invalid      []invalidJSON `json:"invalid"`
}

// renewalJSON is what became of one certificate.
type renewalJSON struct {
	Name      string     `json:"name"`
	Outcome   string     `json:"outcome"` // renewed, failed or skipped
	Error     *jsonError `json:"error,omitempty"`
	NotAfter  time.Time  `json:"not_after,omitzero"` // of the one that is live now
	Fullchain string     `json:"fullchain_path"`
}

func (a *app) renewResult(outcomes []renew.Outcome, broken []lineage.Broken) renewJSON {
	r := renewJSON{Certificates: make([]renewalJSON, 0, len(outcomes)), Invalid: invalidList(broken)}
	for _, o := range outcomes {
		one := renewalJSON{Name: o.Lineage.Name, Outcome: "skipped", NotAfter: o.Expires.UTC(), Fullchain: o.Lineage.Path(lineage.Fullchain)}
		switch {
		case o.Err != nil:
			one.Outcome, one.Error = "failed", a.jsonError(o.Err)
		case o.Renewed:
			one.Outcome = "renewed"
			if l, err := a.store.Load(o.Lineage.Name); err == nil {
				if leaf, err := l.Leaf(); err == nil {
					one.NotAfter = leaf.NotAfter.UTC()
				}
			}
		}
		r.Certificates = append(r.Certificates, one)
	}
	return r
}

// revokeJSON is the result of revoke.
type revokeJSON struct {
	Path    string `json:"path"`
	Serial  string `json:"serial"`
	Deleted string `json:"deleted,omitempty"` // the name of the certificate whose files were deleted
}

// accountJSON is the result of the verbs that are about an account.
type accountJSON struct {
	ID     string `json:"id"`
	URL    string `json:"url"`
	Server string `json:"server"`
}
