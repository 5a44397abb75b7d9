// Package fill fills an authority's database with certificates that nobody asked for, so
// that it can be measured as it will be in years: with their orders, authorizations and accounts.
//
// All rows are as the rules make them. Serial numbers and keys' digests rise with time, so that
// a fill writes each index from one end; the certificates are real ones of which
// the serial number, the key and the signature were replaced by random octets, since
// the store does not look into them. They are valid for nobody: no key signed them.
package fill

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/datadir"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// Config says what is filled, and with how much.
type Config struct {
	Dir   string // the data directory; no process may use it meanwhile
	URL   string // of the PostgreSQL database, if the authority does not have its own in Dir
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
	place := store.Config{Path: dir.Database(), Log: c.Log}
	if c.URL != "" {
		place.Path, place.URL = "", c.URL
	}
	db, err := store.Open(ctx, place)
	if err != nil {
		return filled, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return rows(ctx, db, strconv.Itoa(issuers[len(issuers)-1].Number), c)
}

// rows makes the rows, in transactions of batchSize certificates: each is there as a whole or not at all.
func rows(ctx context.Context, db *store.DB, issuer string, c Config) (filled Filled, err error) {
	f, err := newFiller(issuer, c.Count, time.Now())
	if err != nil {
		return filled, err
	}
	begun := time.Now()
	var mu sync.Mutex // guards filled, failed and calls of Progress
	var failed error
	var next atomic.Int64
	var all sync.WaitGroup
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for range workers(db) {
		all.Go(func() {
			for {
				from := int(next.Add(1)-1) * batchSize
				if from >= c.Count || ctx.Err() != nil {
					return
				}
				size := min(batchSize, c.Count-from)
				made, err := f.fill(ctx, db, from, from+size)
				mu.Lock()
				switch {
				case err != nil:
					failed = cmp.Or(failed, err)
					stop()
				case made:
					filled.Made += size
				default:
					filled.Before += size
				}
				if err == nil && c.Progress != nil {
					c.Progress(filled.Before + filled.Made)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	filled.Took = time.Since(begun)
	if failed == nil {
		failed = ctx.Err()
	}
	if failed != nil {
		return filled, failed
	}
	return filled, db.Update(ctx, func(tx *store.Tx) error {
		return tx.InsertEvent(store.Event{Action: "bench fill", Detail: fmt.Sprintf("%d certificates", c.Count)})
	})
}

// workers is how many batches are made and stored at once. A file has one writer, which is to
// wait for nobody; a server takes several, since each waits for its answers.
func workers(db *store.DB) int {
	if db.Shared() {
		return 4 * runtime.GOMAXPROCS(0)
	}
	return runtime.GOMAXPROCS(0) + 1
}

// fill stores certificates from to end, unless they are there; made says which.
func (f *filler) fill(ctx context.Context, db *store.DB, from, end int) (made bool, err error) {
	there, err := has(ctx, db, f.serial(from))
	if err != nil || there {
		return false, err
	}
	batch, err := f.batch(from, end)
	if err == nil {
		err = db.Update(ctx, batch.insert)
	}
	if errors.Is(err, store.ErrExists) {
		// An update that was interrupted may be committed a moment later.
		if there, err := has(ctx, db, f.serial(from)); err != nil || there {
			return false, err
		}
	}
	if err != nil {
		return false, fmt.Errorf("filling with certificates %d to %d: %w", from, end, err)
	}
	return true, nil
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
