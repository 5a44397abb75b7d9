package work_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

const day = 24 * time.Hour

// briefly is a profile whose certificates last for a week, kept for a few days after that.
func briefly() work.Config {
	p := rules.Classic()
	p.OrderLifetime, p.PendingLifetime, p.AuthzLifetime, p.Validity = day, day, 2*day, 7*day
	return work.Config{
		Profiles:  []rules.Profile{p},
		Retention: rules.Retention{Orders: 2 * day, Authorizations: 2 * day, Certificates: 8 * day, Evidence: day},
	}
}

// cleaning runs a worker's CleanUp while do runs.
func (b *bench) cleaning(c work.Config, do func(w *work.Worker)) {
	b.t.Helper()
	c.DB, c.Log = b.db, slog.New(slog.DiscardHandler)
	w := work.New(c)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { w.CleanUp(ctx); close(ended) }()
	do(w)
	cancel()
	<-ended
	if err := w.Stop(context.Background()); err != nil {
		b.t.Error(err)
	}
}

// issue saves an order that led to a certificate for a name now, with all that is saved on the way.
func (b *bench) issue(tx *store.Tx, name string) (rules.Order, rules.Certificate, error) {
	id := acme.IdentifierFor(name)
	profile := briefly().Profiles[0]
	authz := rules.Authz{
		ID: rules.NewID(tx.Now), Account: b.account.ID, Identifier: id, Status: acme.StatusValid, Expires: tx.Now.Add(profile.AuthzLifetime),
		Challenges: []rules.Challenge{{Type: acme.HTTP01, Status: acme.StatusValid, Token: rules.NewID(tx.Now), Validated: &tx.Now}},
	}
	o := rules.Order{
		ID: rules.NewID(tx.Now), Account: b.account.ID, Identifiers: []acme.Identifier{id}, Authzs: []string{authz.ID},
		Profile: profile.Name, Created: tx.Now, Expires: tx.Now.Add(profile.OrderLifetime),
	}
	c := rules.Certificate{
		Serial: fmt.Sprintf("%x", random(18)), Issuer: "01", Order: o.ID, Account: o.Account, Profile: o.Profile, State: rules.Issued,
		Digest: random(32), DER: random(900), Key: random(32), NotBefore: tx.Now, NotAfter: tx.Now.Add(profile.Validity), Created: tx.Now,
	}
	o.Serial = c.Serial
	return o, c, errors.Join(tx.InsertOrder(o, []rules.Authz{authz}), tx.InsertCertificate(c),
		tx.InsertAttempt(store.Attempt{Authz: authz.ID, At: tx.Now, Method: acme.HTTP01, OK: true, Evidence: random(300)}))
}

func random(n int) []byte {
	octets := make([]byte, n)
	_, _ = rand.Read(octets)
	return octets
}

// rows counts the rows of the tables that grow with each certificate, and the pages of the file.
func (b *bench) rows(file string) (rows map[string]int64, pages int64) {
	b.t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		b.t.Fatal(err)
	}
	defer db.Close()
	rows = map[string]int64{}
	for _, table := range []string{"orders", "authzs", "certificates", "issuances", "attempts"} {
		var n int64
		if err := db.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
			b.t.Fatal(err)
		}
		rows[table] = n
	}
	if err := db.QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
		b.t.Fatal(err)
	}
	return rows, pages
}

// TestStoreStopsGrowing: when as many certificates end as are issued, neither the rows nor the file become more.
func TestStoreStopsGrowing(t *testing.T) {
	const daily = 60
	inBubble(t, func(t *testing.T, b *bench) {
		b.cleaning(briefly(), func(*work.Worker) {
			var full int64
			for today := range 40 {
				b.update(func(tx *store.Tx) error {
					for i := range daily {
						if _, _, err := b.issue(tx, fmt.Sprintf("n%d-%d.test", today, i)); err != nil {
							return err
						}
					}
					return nil
				})
				time.Sleep(day)
				rows, pages := b.rows(b.file)
				switch {
				case today == 25:
					full = pages
				case today > 25 && pages > full+full/20:
					t.Fatalf("on day %d the file has %d pages, %d when it first was full; rows: %v", today, pages, full, rows)
				}
				if today < 25 {
					continue
				}
				// Each is kept for its life and the time after it, and is found within a day of that.
				for table, days := range map[string]int64{"orders": 1 + 2, "authzs": 2 + 2 + 1, "certificates": 7 + 8 + 1, "issuances": 7 + 8 + 1, "attempts": 1} {
					if n := rows[table]; n < (days-2)*daily || n > (days+2)*daily {
						t.Fatalf("on day %d there are %d rows of %s, of %d a day", today, n, table, daily)
					}
				}
			}
		})
	})
}

// exists reports whether find finds something.
func (b *bench) exists(find func(tx *store.Tx) error) bool {
	b.t.Helper()
	err := b.db.View(context.Background(), find)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		b.t.Fatal(err)
	}
	return err == nil
}

func (b *bench) hasCertificate(serial string) bool {
	return b.exists(func(tx *store.Tx) error { _, err := tx.Certificate(serial); return err })
}

// TestProcessingOrderStays: what is not over is never deleted; and once it is over it goes like the rest.
func TestProcessingOrderStays(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.cleaning(briefly(), func(w *work.Worker) {
			o := b.finalized(w) // and nobody issues for it
			kept := func() bool {
				return b.exists(func(tx *store.Tx) error { _, err := tx.Order(o.ID); return err })
			}
			time.Sleep(40 * day)
			if !kept() {
				t.Fatal("a processing order was deleted")
			}
			b.update(func(tx *store.Tx) error {
				return tx.UpdateOrder(o, o.Fail(acme.Problemf(acme.TypeServerInternal, "it was given up")))
			})
			time.Sleep(2 * day)
			if kept() {
				t.Error("an order that ended late is never deleted")
			}
		})
	})
}

// TestRevokedStaysUntilListed (RFC 5280 §3.3): what is revoked, abandoned serials too, goes only after a list that was made after its end.
func TestRevokedStaysUntilListed(t *testing.T) {
	c := briefly()
	c.Retention.Certificates = time.Hour // less than the configuration takes
	inBubble(t, func(t *testing.T, b *bench) {
		b.cleaning(c, func(*work.Worker) {
			var serials []string
			b.update(func(tx *store.Tx) error {
				_, issued, err := b.issue(tx, "a.test")
				if err != nil {
					return err
				}
				revoked := issued
				revoked.Revoked = tx.Now
				abandoned := issued
				abandoned.Serial, abandoned.Order, abandoned.DER = "0b", "another", nil
				abandoned = abandoned.Abandon(tx.Now)
				serials = []string{issued.Serial, abandoned.Serial}
				return errors.Join(tx.UpdateCertificate(issued, revoked), tx.InsertCertificate(abandoned), tx.SaveCRL(store.CRL{Issuer: "01", Number: 1, ThisUpdate: tx.Now}))
			})
			time.Sleep(15 * day)
			for _, serial := range serials {
				if !b.hasCertificate(serial) {
					t.Errorf("%s went before there was a list after its end", serial)
				}
			}
			b.update(func(tx *store.Tx) error { return tx.SaveCRL(store.CRL{Issuer: "01", Number: 2, ThisUpdate: tx.Now}) })
			time.Sleep(time.Hour)
			for _, serial := range serials {
				if b.hasCertificate(serial) {
					t.Errorf("%s is still there after the list after its end", serial)
				}
			}
		})
	})
}

// TestNothingGoesEarly: a certificate that counts is there, whatever happened to its order; and "never" means it.
func TestNothingGoesEarly(t *testing.T) {
	forever := briefly()
	forever.Retention = rules.Retention{Orders: rules.Forever, Authorizations: rules.Forever, Certificates: rules.Forever, Evidence: rules.Forever}
	for name, test := range map[string]struct {
		config work.Config
		after  time.Duration
		order  bool
	}{
		"a valid certificate": {briefly(), 7*day - time.Hour, false},
		"never":               {forever, 200 * day, true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.cleaning(test.config, func(*work.Worker) {
					var o rules.Order
					b.update(func(tx *store.Tx) (err error) { o, _, err = b.issue(tx, "a.test"); return err })
					time.Sleep(test.after)
					if !b.exists(func(tx *store.Tx) error { _, err := tx.CertificateOf(o.ID); return err }) {
						t.Error("the certificate is gone")
					}
					if b.exists(func(tx *store.Tx) error { _, err := tx.Order(o.ID); return err }) != test.order {
						t.Errorf("the order is there: %t", !test.order)
					}
				})
			})
		})
	}
}

// TestBacklogIsDeleted: what a process finds at its start goes, in many batches; what is older than its profiles, and the CA's own, too.
func TestBacklogIsDeleted(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		var own rules.Certificate
		for range 5 {
			b.update(func(tx *store.Tx) error {
				for i := range 210 {
					if _, _, err := b.issue(tx, fmt.Sprintf("%d.test", i)); err != nil {
						return err
					}
				}
				_, c, err := b.issue(tx, "ca.test")
				own = c
				own.Serial, own.Order, own.Account = fmt.Sprintf("%x", random(18)), rules.OwnPurpose+rules.NewID(tx.Now), ""
				return errors.Join(err, tx.InsertCertificate(own))
			})
			time.Sleep(10 * day)
		}
		time.Sleep(100 * day)
		b.update(func(tx *store.Tx) error {
			now := tx.Now
			tx.Now = now.Add(-399 * day)
			err := tx.NoteCertified("399 days")
			tx.Now = now.Add(-401 * day)
			return errors.Join(err, tx.NoteCertified("401 days"), tx.NameCertificate(own, []acme.Identifier{acme.IdentifierFor("ca.test")}))
		})
		b.cleaning(briefly(), func(*work.Worker) {
			time.Sleep(10 * time.Minute)
			if rows, _ := b.rows(b.file); rows["orders"]+rows["authzs"]+rows["certificates"]+rows["issuances"]+rows["attempts"] != 0 {
				t.Errorf("left: %v", rows)
			}
			for set, want := range map[string]bool{"399 days": true, "401 days": false} {
				if b.exists(func(tx *store.Tx) error { at, err := tx.Certified(set); return errors.Join(err, found(!at.IsZero())) }) != want {
					t.Errorf("the set from %s ago is there: %t", set, !want)
				}
			}
		})
	})
}

func found(ok bool) error {
	if !ok {
		return store.ErrNotFound
	}
	return nil
}

// TestProofIsGone: where CAA must be asked again, and the authorization that says by which proof is not kept any more, no certificate is issued.
func TestProofIsGone(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		w := work.New(work.Config{
			DB: b.db, Validator: proveFunc(proven), Log: slog.New(slog.DiscardHandler), CAA: rules.CAA{Identities: []string{"ca.example"}},
			Signer: signFunc(func(context.Context, sign.Request) (sign.Certificate, error) {
				t.Error("the signer was asked")
				return sign.Certificate{}, sign.ErrRefused
			}),
		})
		o := b.finalized(w)
		b.update(func(tx *store.Tx) error {
			a, err := tx.Authz(o.Authzs[0])
			return errors.Join(err, tx.DeleteAuthz(a))
		})
		<-w.Issue(o, rules.CSR{})
		if got := b.order(o.ID); got.Error == nil || got.Error.Type != acme.TypeUnauthorized || got.CSR != nil {
			t.Errorf("the order is %+v", got)
		}
		_ = w.Stop(t.Context())
	})
}
