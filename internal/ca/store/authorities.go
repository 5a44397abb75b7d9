package store

import (
	"errors"
	"fmt"
)

// Authority is the certificate of a root or an issuer, as machines without its key need to know it.
type Authority struct {
	ID     string   // of an issuer "1", of a root "root-1", of what root 1 says of the key of issuer 1 "1/root-1"
	DER    []byte   // the certificate; it never changes
	Place  string   // http://… where the certificate is published
	Lists  []string // http://… where its CRL was promised, the present place first
	Frozen bool     // its key was taken away, so that its CRL stays as it is
	Number int64    // of the issuer or root: the newest has the highest
}

// maxAuthorities bounds how many certificates there are: one for some years, and what the roots say of it.
const maxAuthorities = 1000

// Authorities lists the certificates of the hierarchy. There are a few: one for some years.
func (tx *Tx) Authorities() (list []Authority, err error) {
	err = tx.each(func(r *row) error {
		a := Authority{ID: r.text(), DER: r.blob(), Place: r.text()}
		r.json(&a.Lists)
		a.Frozen, a.Number = r.flag(), r.number()
		list = append(list, a)
		return nil
	}, `SELECT id, der, place, lists, frozen, number FROM authorities WHERE id > '' ORDER BY id LIMIT $1`, int64(maxAuthorities))
	if err != nil {
		return nil, fmt.Errorf("listing the authorities: %w", err)
	}
	return list, nil
}

// SaveAuthority adds a certificate, or what is new about it. ErrConflict: there is another certificate with its ID,
// so that the database is another authority's.
func (tx *Tx) SaveAuthority(a Authority) error {
	if err := tx.swap(`INSERT INTO authorities (id, der, place, lists, frozen, number) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (id) DO UPDATE SET place = excluded.place, lists = excluded.lists, frozen = excluded.frozen
		WHERE authorities.der = excluded.der`,
		a.ID, a.DER, a.Place, compactList(a.Lists), flag(a.Frozen), a.Number); err != nil {
		return fmt.Errorf("authority %s: %w", a.ID, err)
	}
	return nil
}

// Address is a URL of the authority by its name; "" if it was never saved.
func (tx *Tx) Address(name string) (url string, err error) {
	err = tx.first(func(r *row) error { url = r.text(); return nil }, `SELECT url FROM addresses WHERE name = $1`, name)
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("address %s: %w", name, err)
	}
	return url, nil
}

// SaveAddress notes where the authority is to be found from now on.
func (tx *Tx) SaveAddress(name, url string) error {
	if _, err := tx.exec(`INSERT INTO addresses (name, url) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET url = excluded.url`, name, url); err != nil {
		return fmt.Errorf("address %s: %w", name, err)
	}
	return nil
}
