package store

import (
	"fmt"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// NameCertificate notes for which names a certificate is, so that CertificatesFor finds it.
func (tx *Tx) NameCertificate(c rules.Certificate, ids []acme.Identifier) error {
	for _, id := range ids {
		if _, err := tx.exec(`INSERT INTO certificate_names (value, until, serial) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			id.Value, millis(c.NotAfter), c.Serial); err != nil {
			return fmt.Errorf("names of certificate %s: %w", c.Serial, err)
		}
	}
	return nil
}

// CertificatesFor lists at most limit certificates with a name that have not expired at tx.Now and are not
// revoked, those that last longest first: of those that were noted by NameCertificate.
func (tx *Tx) CertificatesFor(id acme.Identifier, limit int) ([]rules.Certificate, error) {
	var serials []string
	if err := tx.each(func(r *row) error { serials = append(serials, r.text()); return nil },
		`SELECT serial FROM certificate_names WHERE value = $1 AND until > $2 ORDER BY until DESC LIMIT $3`,
		id.Value, millis(tx.Now), int64(limit)); err != nil {
		return nil, fmt.Errorf("certificates for %s: %w", id.Value, err)
	}
	var list []rules.Certificate
	for _, serial := range serials {
		c, err := tx.Certificate(serial)
		if err != nil {
			return nil, err
		}
		if c.State == rules.Issued && c.Revoked.IsZero() {
			list = append(list, c)
		}
	}
	return list, nil
}
