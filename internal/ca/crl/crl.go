// Package crl publishes which certificates are revoked: it decides when a new
// list is due, numbers it, has it signed and keeps the newest at hand.
//
// There is one list for each issuer. A list goes out only after it is stored,
// and its number is above that of every list stored before (RFC 5280 §5.2.3), so
// a crash at any point costs a number at most.
package crl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/health"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// Signer signs lists. The bytes it returns have been linted.
type Signer interface {
	CRL(ctx context.Context, r sign.CRLRequest) ([]byte, error)
}

// Config says what a Publisher publishes. DB, Signer, Issuers and Log are required.
type Config struct {
	DB      *store.DB
	Signer  Signer
	Issuers []string // IDs, those that no longer issue included
	Log     *slog.Logger

	// Frozen lists those of Issuers whose key is not at hand: their newest list is served as it is.
	Frozen []string
	// URLs are the names that an issuer's list has in certificates, past ones included; none means the issuer's own.
	URLs map[string][]string

	Check    time.Duration // how often new revocations are looked for; 0 means 5 s
	Refresh  time.Duration // the age at which a list is renewed though nothing changed; 0 means 24 h
	Validity time.Duration // from thisUpdate to nextUpdate; 0 means 7 days (BR §7.2: at most 10)

	Pulse *health.Pulse // of Run; nil for nobody who listens
}

// Publisher keeps the lists of some issuers fresh. It is safe for concurrent use.
type Publisher struct {
	Config

	mu      sync.RWMutex
	current map[string]store.CRL // by issuer
}

// New makes a publisher with no list at hand; Update gets them.
func New(c Config) *Publisher {
	setDefault(&c.Check, 5*time.Second)
	setDefault(&c.Refresh, 24*time.Hour)
	setDefault(&c.Validity, 7*24*time.Hour)
	return &Publisher{Config: c, current: make(map[string]store.CRL)}
}

func setDefault(value *time.Duration, standard time.Duration) {
	if *value == 0 {
		*value = standard
	}
}

// Run keeps the lists fresh until ctx ends.
func (p *Publisher) Run(ctx context.Context) {
	tick := time.NewTicker(p.Check)
	defer tick.Stop()
	for {
		if err := p.Update(ctx); err != nil && ctx.Err() == nil {
			p.Log.Error("publishing CRLs failed", "error", err)
		}
		p.Pulse.Beat()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// DER is the newest list of an issuer, or nil if there is none yet.
func (p *Publisher) DER(issuer string) []byte {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.current[issuer].DER
}

// Newest is the newest list of each issuer that has one.
func (p *Publisher) Newest() (lists []store.CRL) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, issuer := range p.Issuers {
		if list, ok := p.current[issuer]; ok && list.DER != nil {
			lists = append(lists, list)
		}
	}
	return lists
}

// Update makes a new list for each issuer whose list is stale. One issuer's
// failure does not keep the others from theirs.
func (p *Publisher) Update(ctx context.Context) error {
	var failed error
	for _, issuer := range p.Issuers {
		if err := p.update(ctx, issuer); err != nil {
			failed = errors.Join(failed, fmt.Errorf("CRL of issuer %s: %w", issuer, err))
		}
	}
	return failed
}

// update makes a new list for issuer if there is reason to, and has the newest at hand.
func (p *Publisher) update(ctx context.Context, issuer string) error {
	var last store.CRL
	var next sign.CRLRequest
	var revision int64
	var due bool
	if err := p.DB.View(ctx, func(tx *store.Tx) error {
		var err error
		if revision, err = tx.Revision(issuer); err != nil {
			return fmt.Errorf("counting revocations: %w", err)
		}
		if last, due, err = p.due(tx, issuer, revision); err != nil || !due {
			return err
		}
		// RFC 5280 §3.3: an entry stays until one list after the certificate's end.
		from := tx.Now
		if !last.ThisUpdate.IsZero() {
			from = last.ThisUpdate
		}
		revoked, err := tx.Revoked(issuer, from)
		if err != nil {
			return fmt.Errorf("listing revocations: %w", err)
		}
		next = p.request(issuer, last, revoked, tx.Now)
		return nil
	}); err != nil {
		return err
	}
	if due {
		der, err := p.Signer.CRL(ctx, next)
		if err != nil {
			return fmt.Errorf("signing: %w", err)
		}
		last = store.CRL{Issuer: issuer, Number: last.Number + 1, Revision: revision, ThisUpdate: next.ThisUpdate, NextUpdate: next.NextUpdate, DER: der}
		// A crash before this line leaves a signed list that nobody has seen, and its number to be used again.
		if last, err = p.save(ctx, last); err != nil {
			return fmt.Errorf("storing number %d: %w", next.Number, err)
		}
		if bytes.Equal(last.DER, der) {
			p.Log.Info("crl published", "issuer", issuer, "number", last.Number, "entries", len(next.Entries))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current[issuer] = last
	return nil
}

// save stores list and returns the newest one: list, or that of another process that took the number meanwhile. The
// loser's bytes are dropped, so that one number has one list (RFC 5280 §5.2.3).
func (p *Publisher) save(ctx context.Context, list store.CRL) (newest store.CRL, err error) {
	err = p.DB.Update(ctx, func(tx *store.Tx) error {
		newest = list
		err := tx.SaveCRL(list)
		if errors.Is(err, store.ErrConflict) {
			newest, err = tx.CRL(list.Issuer)
		}
		return err
	})
	return newest, err
}

// due finds the newest list of issuer and whether it is time for another, the
// issuer's revocations being at revision.
func (p *Publisher) due(tx *store.Tx, issuer string, revision int64) (store.CRL, bool, error) {
	last, err := tx.CRL(issuer)
	frozen := slices.Contains(p.Frozen, issuer)
	if errors.Is(err, store.ErrNotFound) {
		return last, !frozen, nil
	}
	if err != nil {
		return last, false, fmt.Errorf("finding the newest list: %w", err)
	}
	old := !tx.Now.Before(last.ThisUpdate.Add(p.Refresh))
	return last, !frozen && (old || last.Revision != revision || p.renamed(last)), nil
}

// renamed reports whether last lacks one of the names that its issuer's list has by
// now: certificates that point to that one would not take it for theirs (RFC 5280 §6.3.3).
func (p *Publisher) renamed(last store.CRL) bool {
	return slices.ContainsFunc(p.URLs[last.Issuer], func(url string) bool {
		return !bytes.Contains(last.DER, []byte(url)) // an IA5String, so as it is
	})
}

// request makes the list that follows last.
func (p *Publisher) request(issuer string, last store.CRL, revoked []rules.Certificate, now time.Time) sign.CRLRequest {
	r := sign.CRLRequest{
		Issuer:     issuer,
		Number:     uint64(last.Number + 1),
		ThisUpdate: now,
		NextUpdate: now.Add(p.Validity),
		URLs:       p.URLs[issuer],
		Entries:    make([]sign.Revocation, 0, len(revoked)),
	}
	for _, c := range revoked {
		r.Entries = append(r.Entries, sign.Revocation{Serial: c.Serial, At: c.Revoked, Reason: c.Reason})
	}
	return r
}
