package store

import (
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
)

const certificateColumns = "serial, issuer, order_id, account, profile, state, digest, der, not_before, not_after, created, revoked, reason"

// InsertCertificate adds a certificate, as a rule one that is reserved; ErrExists
// if its serial was ever used or its order has another one that is not abandoned.
func (tx *Tx) InsertCertificate(c rules.Certificate) error {
	if c.State != rules.Abandoned {
		if err := tx.insert("INSERT INTO issuances (order_id, serial) VALUES ($1, $2)", c.Order, c.Serial); err != nil {
			return err
		}
	}
	return tx.insert("INSERT INTO certificates ("+certificateColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
		c.Serial, c.Issuer, c.Order, c.Account, c.Profile, string(c.State), c.Digest, c.DER,
		millis(c.NotBefore), millis(c.NotAfter), millis(c.Created), millis(c.Revoked), c.Reason)
}

// Certificate finds a certificate by its serial.
func (tx *Tx) Certificate(serial string) (c rules.Certificate, err error) {
	err = tx.row(scanCertificate(&c), "SELECT "+certificateColumns+" FROM certificates WHERE serial = $1", serial)
	return c, err
}

// CertificateOf finds an order's certificate that is not abandoned.
func (tx *Tx) CertificateOf(order string) (rules.Certificate, error) {
	var serial string
	if err := tx.row(func(row scanner) error { return row.Scan(&serial) },
		"SELECT serial FROM issuances WHERE order_id = $1", order); err != nil {
		return rules.Certificate{}, err
	}
	return tx.Certificate(serial)
}

// UpdateCertificate changes the state, the DER and the revocation of a certificate;
// ErrConflict if its state or revocation is not as it was.
func (tx *Tx) UpdateCertificate(before, after rules.Certificate) error {
	if before.State != rules.Abandoned && after.State == rules.Abandoned {
		if err := tx.swap("DELETE FROM issuances WHERE order_id = $1 AND serial = $2", before.Order, before.Serial); err != nil {
			return err
		}
	}
	if err := tx.swap("UPDATE certificates SET state = $1, der = $2, revoked = $3, reason = $4 WHERE serial = $5 AND state = $6 AND revoked = $7 AND reason = $8",
		string(after.State), after.DER, millis(after.Revoked), after.Reason,
		before.Serial, string(before.State), millis(before.Revoked), before.Reason); err != nil {
		return err
	}
	if before.Revoked.Equal(after.Revoked) && before.Reason == after.Reason {
		return nil
	}
	_, err := tx.exec("INSERT INTO revisions (issuer, revision) VALUES ($1, 1) ON CONFLICT (issuer) DO UPDATE SET revision = revisions.revision + 1", before.Issuer)
	return err
}

// Revoked lists an issuer's revoked and abandoned certificates that have not
// expired by now, without their DER.
func (tx *Tx) Revoked(issuer string, now time.Time) (list []rules.Certificate, err error) {
	err = tx.rows(func(row scanner) error {
		c := rules.Certificate{Issuer: issuer}
		var revoked, notAfter int64
		if err := row.Scan(&c.Serial, &c.State, &revoked, &c.Reason, &notAfter); err != nil {
			return err
		}
		c.Revoked, c.NotAfter = fromMillis(revoked), fromMillis(notAfter)
		list = append(list, c)
		return nil
	}, "SELECT serial, state, revoked, reason, not_after FROM certificates WHERE issuer = $1 AND revoked > 0 AND not_after >= $2", issuer, millis(now))
	return list, err
}

// scanCertificate reads a row of certificateColumns into c.
func scanCertificate(c *rules.Certificate) func(scanner) error {
	return func(row scanner) error {
		var notBefore, notAfter, created, revoked int64
		if err := row.Scan(&c.Serial, &c.Issuer, &c.Order, &c.Account, &c.Profile, &c.State, &c.Digest, &c.DER,
			&notBefore, &notAfter, &created, &revoked, &c.Reason); err != nil {
			return fmt.Errorf("reading a certificate: %w", err)
		}
		c.NotBefore, c.NotAfter = fromMillis(notBefore), fromMillis(notAfter)
		c.Created, c.Revoked = fromMillis(created), fromMillis(revoked)
		return nil
	}
}
