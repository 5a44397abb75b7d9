package work_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/work"
	"github.com/cairn-ca/cairn/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// certified makes a certificate for a new key.
func certified(t *testing.T) (der, digest []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var signer crypto.Signer = key
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	if der, err = x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer); err != nil {
		t.Fatal(err)
	}
	if digest, err = rules.KeyDigest(signer.Public()); err != nil {
		t.Fatal(err)
	}
	return der, digest
}

// record is an issued certificate.
func record(serial string, der, key []byte) rules.Certificate {
	return rules.Certificate{Serial: serial, Issuer: "1", Order: "order-" + serial, State: rules.Issued, DER: der, Key: key,
		Digest: []byte{1}, NotAfter: time.Now().Add(time.Hour)}
}

func (b *bench) certificate(serial string) (c rules.Certificate) {
	b.t.Helper()
	if err := b.db.View(b.t.Context(), func(tx *store.Tx) (err error) { c, err = tx.Certificate(serial); return err }); err != nil {
		b.t.Fatal(err)
	}
	return c
}

// R09: what a crash, or a program that did not note keys, left of a compromised key's certificates is revoked at a start.
func TestR09KeysOfOlderCertificates(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		bad, badKey := certified(t)
		good, goodKey := certified(t)
		const older = 250 // more than a batch
		b.update(func(tx *store.Tx) error {
			for i := range older {
				if err := tx.InsertCertificate(record(fmt.Sprintf("%04x", i), bad, nil)); err != nil {
					return err
				}
			}
			return errors.Join(tx.InsertCertificate(record("a0", good, nil)), tx.InsertCertificate(record("a1", []byte{0x30}, nil)),
				tx.InsertCertificate(record("a2", bad, badKey)), tx.BlockKey(badKey), tx.BlockKey([]byte{7}))
		})
		w := b.worker(nil, nil)
		for range 2 {
			w.FollowKeys(t.Context())
		}
		for i := range older {
			if c := b.certificate(fmt.Sprintf("%04x", i)); c.Revoked.IsZero() || c.Reason != rules.KeyCompromise || string(c.Key) != string(badKey) {
				t.Fatalf("certificate %d: revoked %s for %d, key %x", i, c.Revoked, c.Reason, c.Key)
			}
		}
		if c := b.certificate("a0"); !c.Revoked.IsZero() || string(c.Key) != string(goodKey) {
			t.Errorf("the good one: revoked %s, key %x", c.Revoked, c.Key)
		}
		if c := b.certificate("a1"); !c.Revoked.IsZero() {
			t.Error("what cannot be read is revoked")
		}
		if c := b.certificate("a2"); c.Revoked.IsZero() {
			t.Error("what a crash left is not revoked")
		}
		_ = w.Stop(t.Context())
	})
}

// A key that is reported as compromised between the last look and the signature does not slip through.
func TestR09KeyBlockedWhileSigning(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		j := work.Journal{DB: b.db}
		der, digest := certified(t)
		entry := sign.Entry{Order: "o", Serial: "0d", Issuer: "1", NotAfter: time.Now().Add(time.Hour), Digest: [32]byte{1}}
		if err := j.Reserve(t.Context(), entry, ""); err != nil {
			t.Fatal(err)
		}
		b.update(func(tx *store.Tx) error { return tx.BlockKey(digest) })
		entry.DER = der
		if err := j.Settle(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
		if c := b.certificate("0d"); c.Revoked.IsZero() || c.Reason != rules.KeyCompromise {
			t.Errorf("revoked %s for %d", c.Revoked, c.Reason)
		}
	})
}

// Where several processes use the database, one may block a key while another records a certificate for it, and neither
// sees what the other has not committed. What slipped through is found soon, and not at the next start.
func TestR09KeyBlockedByAnotherProcess(t *testing.T) {
	server := pgtest.Shared(t)
	db, err := store.Open(t.Context(), store.Config{URL: server.URL(server.Database(t), ""), Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	b := &bench{t: t, db: db}
	w := work.New(work.Config{DB: db, Log: slog.New(slog.DiscardHandler), Follow: 10 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.FollowKeys(ctx) }()
	for i := range 3 { // the first may be found by the look at the start
		serial := fmt.Sprintf("%02x", i+1)
		der, key := certified(t)
		b.update(func(tx *store.Tx) error {
			return errors.Join(tx.BlockKey(key), tx.InsertCertificate(record(serial, der, key)))
		})
		for end := time.Now().Add(20 * time.Second); b.certificate(serial).Revoked.IsZero(); {
			if time.Now().After(end) {
				t.Fatalf("certificate %d is not revoked", i)
			}
		}
	}
	cancel()
	<-ended
	if err := w.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
