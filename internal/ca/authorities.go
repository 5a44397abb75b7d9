package ca

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// authorities is every root and issuer of a CA as everybody may know them, the newest first. The signer's process has
// them from its data directory and puts them into the database, where all others find them.
type authorities struct {
	roots, issuers []authority
}

// The names of addresses in the database.
const (
	addressACME      = "acme"      // https://HOST[:PORT] of the fronts
	addressPublished = "published" // http://HOST:PORT for what new certificates point to
)

// relearn is after what time at the latest a process knows of a new issuer.
const relearn = 5 * time.Second

// errNotYet is the error of a process that waits for the signer's, which comes first.
var errNotYet = errors.New("the database holds no roots and issuers yet: a process with the role signer puts them there")

// publish tells the other processes what the hierarchy is. It refuses a database of another authority.
func (c *CA) publish(ctx context.Context) error {
	records := c.hierarchy.records()
	err := c.db.Update(ctx, func(tx *store.Tx) error {
		known, err := tx.Authorities()
		if err != nil {
			return err
		}
		for _, there := range known {
			here := slices.IndexFunc(records, func(r store.Authority) bool { return r.ID == there.ID })
			if here < 0 || !bytes.Equal(records[here].DER, there.DER) {
				return fmt.Errorf("the database belongs to another authority than the data directory %s: it has another certificate of %s: "+
					"give each its own, or put back from a backup what the data directory lacks", c.dir.Path(), there.ID)
			}
		}
		for _, record := range records {
			if err := tx.SaveAuthority(record); err != nil {
				return err
			}
		}
		return errors.Join(tx.SaveAddress(addressACME, c.url), tx.SaveAddress(addressPublished, c.httpURL))
	})
	if err == nil {
		c.known.Store(&c.hierarchy.authorities)
	}
	return err
}

// learn reads from the database what publish put there.
func (c *CA) learn(ctx context.Context) error {
	var list []store.Authority
	var url, published string
	if err := c.db.View(ctx, func(tx *store.Tx) (err error) {
		if list, err = tx.Authorities(); err != nil {
			return err
		}
		if url, err = tx.Address(addressACME); err != nil {
			return err
		}
		published, err = tx.Address(addressPublished)
		return err
	}); err != nil {
		return err
	}
	known, err := readAuthorities(list)
	if err != nil {
		return err
	}
	if c.url == "" {
		c.httpURL = published
		if err := c.settle(url); err != nil {
			return err
		}
	}
	if before := c.known.Load(); !reflect.DeepEqual(before, known) {
		c.known.Store(known)
		c.log.Info("the roots and issuers are known", "roots", len(known.roots), "issuers", len(known.issuers))
	}
	return nil
}

// keepLearning is learn from time to time until ctx ends.
func (c *CA) keepLearning(ctx context.Context) {
	every(ctx, relearn, func() {
		if err := c.learn(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("looking for new issuers failed", "error", err)
		}
	})
}

// records is what the database is to hold of a.
func (a *authorities) records() (list []store.Authority) {
	for _, one := range slices.Concat(a.roots, a.issuers) {
		list = append(list, store.Authority{
			ID: one.id, DER: one.certificate.Raw, Place: one.issuerURL, Lists: one.crlURLs, Frozen: one.frozen, Number: int64(one.number),
		})
		for _, cross := range one.crosses {
			list = append(list, store.Authority{ID: one.id + "/" + cross.root, DER: cross.certificate.Raw, Number: int64(one.number)})
		}
	}
	return list
}

// readAuthorities is the inverse of records.
func readAuthorities(list []store.Authority) (*authorities, error) {
	a := &authorities{}
	crosses := make(map[string][]cross)
	for _, record := range list {
		certificate, err := x509.ParseCertificate(record.DER)
		if err != nil {
			return nil, fmt.Errorf("reading the certificate of authority %s in the database: %w", record.ID, err)
		}
		one := authority{
			number: int(record.Number), id: record.ID, certificate: certificate, frozen: record.Frozen,
			issuerURL: record.Place, crlURLs: record.Lists,
		}
		if issuer, root, ok := strings.Cut(record.ID, "/"); ok {
			crosses[issuer] = append(crosses[issuer], cross{root: root, certificate: certificate})
		} else if strings.HasPrefix(record.ID, "root-") {
			a.roots = append(a.roots, one)
		} else {
			a.issuers = append(a.issuers, one)
		}
	}
	if len(a.roots) == 0 || len(a.issuers) == 0 {
		return nil, errNotYet
	}
	newest := func(x, y authority) int { return y.number - x.number }
	slices.SortFunc(a.roots, newest)
	slices.SortFunc(a.issuers, newest)
	for i := range a.issuers {
		a.issuers[i].crosses = crosses[a.issuers[i].id]
		slices.SortFunc(a.issuers[i].crosses, func(x, y cross) int { return numberOf(y.root) - numberOf(x.root) })
	}
	return a, nil
}

// numberOf is the N of "root-N".
func numberOf(root string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(root, "root-"))
	return n
}

func (a *authorities) issuerIDs() (ids []string) {
	for _, one := range a.issuers {
		ids = append(ids, one.id)
	}
	return ids
}

func (a *authorities) rootIDs() (ids []string) {
	for _, one := range a.roots {
		ids = append(ids, one.id)
	}
	return ids
}

// frozen lists the roots whose key was taken away.
func (a *authorities) frozen() (ids []string) {
	for _, one := range a.roots {
		if one.frozen {
			ids = append(ids, one.id)
		}
	}
	return ids
}

// crlURLs lists the names of each issuer's CRL. A root's needs none: it is the only one there is.
func (a *authorities) crlURLs() map[string][]string {
	urls := make(map[string][]string)
	for _, one := range a.issuers {
		urls[one.id] = one.crlURLs
	}
	return urls
}

// names is what the newest issuer may issue for.
func (a *authorities) names() acme.Subtrees { return sign.NamesOf(a.issuers[0].certificate) }

// find looks a root or an issuer up by its ID; nil if there is none.
func (a *authorities) find(id string) *authority {
	for _, list := range [][]authority{a.issuers, a.roots} {
		for i := range list {
			if list[i].id == id {
				return &list[i]
			}
		}
	}
	return nil
}

// byKeyID finds the ID of the issuer whose certificate has a subject key identifier.
func (a *authorities) byKeyID(keyID []byte) (string, bool) {
	for _, one := range a.issuers {
		if bytes.Equal(one.certificate.SubjectKeyId, keyID) {
			return one.id, true
		}
	}
	return "", false
}

// chains is what can be served above a certificate: the issuer as its own root certified it, and as
// those others did whose name constraints permit what the certificate is for.
func (a *authorities) chains(c rules.Certificate) []front.Chain {
	issuer := a.find(c.Issuer)
	leaf, err := x509.ParseCertificate(c.DER)
	if issuer == nil || err != nil {
		return nil
	}
	chains := []front.Chain{{ID: "default", Certificates: issuer.chain()}}
	for _, cross := range issuer.crosses {
		if covers(sign.NamesOf(cross.certificate), leaf) {
			chains = append(chains, front.Chain{ID: cross.root, Certificates: [][]byte{cross.certificate.Raw}})
		}
	}
	return chains
}
