// Package fill fills an authority's database with certificates that nobody asked for, so
// that it can be measured as it will be in years: with their orders, authorizations and accounts.
//
// All rows are as the rules make them. Serial numbers and keys' digests rise with time, so that
// a fill writes each index from one end; the certificates are real ones of which
// the serial number, the key and the signature were replaced by random octets, since
// the store does not look into them. They are valid for nobody: no key signed them.
package fill

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"runtime"
	"sort"
	"strconv"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/datadir"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// Config says what is filled, and with how much.
type Config struct {
	Dir   string // the data directory; no process may use it meanwhile
	Count int    // certificates
	Log   *slog.Logger
	// Progress, if set, is called now and then with how many certificates are there.
	Progress func(done int)
}

const (
	perAccount = 10   // certificates of one account
	batchSize  = 2000 // certificates in one transaction
	maxCount   = 1_000_000_000
	// spread is how long ago the first certificate was issued: less than what retention lets lie.
	spread = 25 * 24 * time.Hour
)

// Filled is what a fill did.
type Filled struct {
	Before int // certificates that an earlier fill of the same Count had made
	Made   int
	Took   time.Duration
}

// Run fills the database of a data directory. A fill that was interrupted goes on
// where it was, if Count is the same; with another Count it adds to what is there.
func Run(ctx context.Context, c Config) (filled Filled, err error) {
	if c.Count < 1 || c.Count > maxCount {
		return filled, fmt.Errorf("filling with %d certificates: it can be 1 to %d", c.Count, maxCount)
	}
	dir, err := datadir.Open(datadir.Config{Dir: c.Dir})
	if err != nil {
		return filled, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if dir.FirstRun() {
		return filled, fmt.Errorf("%s is %w yet: let `cairn up` finish its first start", dir.Path(), datadir.ErrNotMade)
	}
	issuers, err := dir.Issuers()
	if err != nil || len(issuers) == 0 {
		return filled, errors.Join(fmt.Errorf("%s has no issuer", dir.Path()), err)
	}
	db, err := store.Open(ctx, store.Config{Path: dir.Database(), Log: c.Log})
	if err != nil {
		return filled, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return rows(ctx, db, strconv.Itoa(issuers[len(issuers)-1].Number), c)
}

// rows makes the rows, in transactions of batchSize certificates.
func rows(ctx context.Context, db *store.DB, issuer string, c Config) (filled Filled, err error) {
	f, err := newFiller(issuer, c.Count, time.Now())
	if err != nil {
		return filled, err
	}
	batches := (c.Count + batchSize - 1) / batchSize
	// Each batch is there as a whole or not at all, and none before the one in front of it.
	var failed error
	first := sort.Search(batches, func(k int) bool {
		there, err := has(ctx, db, f.serial(k*batchSize))
		failed = errors.Join(failed, err)
		return !there
	})
	if failed != nil {
		return filled, failed
	}
	filled.Before = min(first*batchSize, c.Count)
	begun := time.Now()
	for batch := range f.produce(ctx, first, batches) {
		if batch.err != nil {
			return filled, batch.err
		}
		if err := db.Update(ctx, batch.insert); err != nil {
			return filled, fmt.Errorf("filling, after %d certificates: %w", filled.Before+filled.Made, err)
		}
		filled.Made += len(batch.certificates)
		filled.Took = time.Since(begun)
		if c.Progress != nil {
			c.Progress(filled.Before + filled.Made)
		}
	}
	if err := ctx.Err(); err != nil {
		return filled, err
	}
	return filled, db.Update(ctx, func(tx *store.Tx) error {
		return tx.InsertEvent(store.Event{Action: "bench fill", Detail: fmt.Sprintf("%d certificates", c.Count)})
	})
}

// has reports whether there is a certificate with a serial number.
func has(ctx context.Context, db *store.DB, serial string) (bool, error) {
	err := db.View(ctx, func(tx *store.Tx) error {
		_, err := tx.Certificate(serial)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// produce makes the batches from first on, in order, a few of them ahead of who takes them.
func (f *filler) produce(ctx context.Context, first, end int) <-chan *batch {
	ahead := runtime.GOMAXPROCS(0)
	promised := make(chan chan *batch, ahead)
	ordered := make(chan *batch)
	go func() {
		defer close(promised)
		for k := first; k < end; k++ {
			promise := make(chan *batch, 1)
			select {
			case promised <- promise:
			case <-ctx.Done():
				return
			}
			go func() { promise <- f.batch(k*batchSize, min((k+1)*batchSize, f.count)) }()
		}
	}()
	go func() {
		defer close(ordered)
		for promise := range promised {
			select {
			case ordered <- <-promise:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ordered
}

// place is 64 bits that rise with n and are spread over all there are.
func (f *filler) place(n int) uint64 {
	hi, lo := bits.Mul64(uint64(n), 1<<63)
	quotient, _ := bits.Div64(hi, lo, uint64(f.count))
	return quotient
}

// serial is the serial number of certificate n of a fill: the same in each run of it.
func (f *filler) serial(n int) string {
	var octets [16]byte
	binary.BigEndian.PutUint64(octets[:8], 1<<62+f.place(n)>>1) // as long in DER as in octets
	binary.BigEndian.PutUint64(octets[8:], mix(uint64(n)^uint64(f.count)<<32))
	return hex.EncodeToString(octets[:])
}

// mix spreads the bits of a number (SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
