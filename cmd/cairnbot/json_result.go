package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
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
	Name string `json:"name"`
	// Outcome is renewed, failed, skipped (it is not due), or waiting (it is due, but an earlier failure holds it back).
	Outcome string     `json:"outcome"`
	Error   *jsonError `json:"error,omitempty"`
	Due     bool       `json:"due"`
	Why     string     `json:"why,omitempty"` // by which rule it is due, or will be
	// NextAttempt is when it will be tried, where that is known.
	NextAttempt time.Time `json:"next_attempt,omitzero"`
	Server      string    `json:"server,omitempty"`   // the CA that was asked
	NotAfter    time.Time `json:"not_after,omitzero"` // of the one that is live now
	Fullchain   string    `json:"fullchain_path"`
}

func (a *app) renewResult(outcomes []renewal) renewJSON {
	r := renewJSON{Certificates: make([]renewalJSON, 0, len(outcomes)), Invalid: []invalidJSON{}}
	for i := range outcomes {
		o := &outcomes[i]
		one := renewalJSON{Name: o.name, NotAfter: o.expires.UTC(), Fullchain: o.fullchain, Server: o.server}
		if v := o.verdict; v != nil && !o.renewed {
			one.Due, one.Why, one.NextAttempt = v.Due(now()), v.Why, v.Attempt().UTC()
		}
		switch {
		case o.broken != nil:
			r.Invalid = append(r.Invalid, invalidJSON{o.conf, oneLine(o.broken.Error())})
			continue
		case o.err != nil:
			one.Outcome, one.Error = "failed", a.jsonError(o.err)
		case o.waits:
			one.Outcome = "waiting"
		case o.renewed:
			one.Outcome = "renewed"
		case o.skipped:
			one.Outcome = "skipped"
		default:
			continue // an interrupt came before
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
