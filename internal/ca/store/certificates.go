package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
)

const certificateColumns = `serial, issuer, order_id, account, profile, state, digest, der, not_before, not_after, created, revoked, reason, spki`

func readCertificate(r *row) (c rules.Certificate) {
	c.Serial, c.Issuer, c.Order, c.Account, c.Profile = r.text(), r.text(), r.text(), r.text(), r.text()
	c.State, c.Digest, c.DER = rules.State(r.text()), r.blob(), r.blob()
	c.NotBefore, c.NotAfter, c.Created = r.moment(), r.moment(), r.moment()
	c.Revoked, c.Reason = r.moment(), int(r.number())
	c.Key = r.blob()
	return c
}

// InsertCertificate stores a certificate that is about to be signed. ErrExists: the
// serial is taken, or its order has a certificate that is not abandoned.
func (tx *Tx) InsertCertificate(c rules.Certificate) error {
	var list []write
	if c.State != rules.Abandoned {
		list = append(list, newIssuance(c))
	}
	if err := tx.insertAll(append(list, newCertificate(c))); err != nil {
		return err
	}
	if !c.Revoked.IsZero() {
		return tx.noteRevocation(c.Issuer, c.Serial)
	}
	return nil
}

func newIssuance(c rules.Certificate) write {
	return write{"certificate of order " + c.Order,
		`INSERT INTO issuances (order_id, serial) VALUES ($1, $2) ON CONFLICT DO NOTHING`, []any{c.Order, c.Serial}}
}

func newCertificate(c rules.Certificate) write {
	return write{"certificate " + c.Serial, `INSERT INTO certificates (` + certificateColumns + `)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING`, []any{
		c.Serial, c.Issuer, c.Order, c.Account, c.Profile, string(c.State), c.Digest, c.DER,
		millis(c.NotBefore), millis(c.NotAfter), millis(c.Created), millis(c.Revoked), int64(c.Reason), c.Key,
	}}
}

// Certificate finds a certificate by its serial.
func (tx *Tx) Certificate(serial string) (c rules.Certificate, err error) {
	if err := tx.first(func(r *row) error { c = readCertificate(r); return nil },
		`SELECT `+certificateColumns+` FROM certificates WHERE serial = $1`, serial); err != nil {
		return rules.Certificate{}, fmt.Errorf("certificate %s: %w", serial, err)
	}
	return c, nil
}

// CertificateOf finds the certificate of an order that is not abandoned.
func (tx *Tx) CertificateOf(order string) (rules.Certificate, error) {
	var serial string
	if err := tx.first(func(r *row) error { serial = r.text(); return nil },
		`SELECT serial FROM issuances WHERE order_id = $1`, order); err != nil {
		return rules.Certificate{}, fmt.Errorf("certificate of order %s: %w", order, err)
	}
	return tx.Certificate(serial)
}

// UpdateCertificate saves the state, the DER and the revocation of a certificate
// that was before. ErrConflict: its state or its revocation has changed since.
func (tx *Tx) UpdateCertificate(before, after rules.Certificate) error {
	if err := tx.swap(`UPDATE certificates SET state = $1, der = $2, revoked = $3, reason = $4, spki = $5
		WHERE serial = $6 AND state = $7 AND revoked = $8 AND reason = $9`,
		string(after.State), after.DER, millis(after.Revoked), int64(after.Reason), after.Key,
		before.Serial, string(before.State), millis(before.Revoked), int64(before.Reason)); err != nil {
		return fmt.Errorf("certificate %s: %w", before.Serial, err)
	}
	if after.State == rules.Abandoned && before.State != rules.Abandoned {
		if err := tx.swap(`DELETE FROM issuances WHERE order_id = $1 AND serial = $2`, before.Order, before.Serial); err != nil {
			return fmt.Errorf("giving up certificate %s of order %s: %w", before.Serial, before.Order, err)
		}
	}
	if millis(after.Revoked) != millis(before.Revoked) || after.Reason != before.Reason {
		return tx.noteRevocation(before.Issuer, before.Serial)
	}
	return nil
}

// noteRevocation counts a change to the set of an issuer's revocations. There is a counter for each last
// digit of a serial, so that who revokes at the same time seldom waits for another.
func (tx *Tx) noteRevocation(issuer, serial string) error {
	slot := int64(0)
	if serial != "" {
		slot = int64(serial[len(serial)-1])
	}
	if _, err := tx.exec(`INSERT INTO revisions (issuer, slot, revision) VALUES ($1, $2, 1)
		ON CONFLICT (issuer, slot) DO UPDATE SET revision = revisions.revision + 1`, issuer, slot); err != nil {
		return fmt.Errorf("noting a revocation of issuer %s: %w", issuer, err)
	}
	return nil
}

// Revision is how often the set of an issuer's revocations has changed. A list
// that was made at another revision, see CRL.Revision, is stale.
func (tx *Tx) Revision(issuer string) (revision int64, err error) {
	err = tx.each(func(r *row) error { revision += r.number(); return nil },
		`SELECT revision FROM revisions WHERE issuer = $1`, issuer)
	if err != nil {
		return 0, fmt.Errorf("counting the revocations of issuer %s: %w", issuer, err)
	}
	return revision, nil
}

// Revoked lists what belongs on a list of issuer's that is made at now: certificates that are
// revoked (abandoned ones are) and have not expired, or had not when the newest list
// was made, since an entry stays for one list after the certificate's end (RFC 5280
// §3.3). Only Serial, Issuer, State, NotAfter, Revoked and Reason are set.
func (tx *Tx) Revoked(issuer string, now time.Time) ([]rules.Certificate, error) {
	since := millis(now)
	err := tx.first(func(r *row) error { since = min(since, r.number()); return nil },
		`SELECT this_update FROM crls WHERE issuer = $1`, issuer)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("finding the newest CRL of issuer %s: %w", issuer, err)
	}
	var revoked []rules.Certificate
	err = tx.each(func(r *row) error {
		c := rules.Certificate{Issuer: issuer, Serial: r.text(), State: rules.State(r.text())}
		c.NotAfter, c.Revoked, c.Reason = r.moment(), r.moment(), int(r.number())
		revoked = append(revoked, c)
		return nil
	}, `SELECT serial, state, not_after, revoked, reason FROM certificates
		WHERE issuer = $1 AND revoked > 0 AND not_after >= $2 ORDER BY not_after`, issuer, since)
	if err != nil {
		return nil, fmt.Errorf("revoked certificates of issuer %s: %w", issuer, err)
	}
	return revoked, nil
}

// Reserved lists the certificates whose signing has begun and neither been settled nor given up.
func (tx *Tx) Reserved() (list []rules.Certificate, err error) {
	err = tx.each(func(r *row) error { list = append(list, readCertificate(r)); return nil },
		`SELECT `+certificateColumns+` FROM certificates WHERE state = 'reserved' ORDER BY order_id`)
	if err != nil {
		return nil, fmt.Errorf("reserved certificates: %w", err)
	}
	return list, nil
}
