// Package fill fills an authority's database with certificates that nobody asked for, so
// that it can be measured as it will be in years: with their orders, authorizations and accounts.
//
// All rows are as the rules make them, and as old as the default retention keeps them. Serial numbers and keys' digests rise with time, so that
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
	"os"
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

	day      = 24 * time.Hour
	lifetime = 90 * day // of a certificate
	// How long ago the first certificate was issued, and the first that still has its order and authorization: what
	// is older the default retention would delete while the authority is measured (rules.DefaultRetention).
	spread       = 90 * day
	ordersSpread = 29 * day
)

// ErrUsed says that somebody's accounts are in the database. A fill does not wait for the disk, so that a loss of power
// could cost what was there before, and its rows cannot be taken out again.
var ErrUsed = errors.New("the authority has accounts: fill one that was made to be measured")

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
	// A commit does not wait for the disk: rows that nobody asked for are written again, if need be.
	place := store.Config{Path: dir.Database(), Log: c.Log, Volatile: true}
	if c.URL != "" {
		place.Path, place.URL = "", c.URL
	}
	db, err := store.Open(ctx, place)
	if err != nil {
		return filled, err
	}
	filled, err = rows(ctx, db, strconv.Itoa(issuers[len(issuers)-1].Number), c)
	err = errors.Join(err, db.Close())
	if c.URL == "" {
		err = errors.Join(err, toDisk(place.Path))
	}
	return filled, err
}

// toDisk waits until the content of a file is on the disk.
func toDisk(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// rows makes the rows, in transactions of batchSize certificates: each is there as a whole or not at all.
func rows(ctx context.Context, db *store.DB, issuer string, c Config) (filled Filled, err error) {
	until, err := since(ctx, db, c.Count)
	if err != nil {
		return filled, err
	}
	f, err := newFiller(issuer, c.Count, until)
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
	return filled, nil
}

// since is when a fill of count certificates first began, now if it did not. The times of its rows, and with them its serial
// numbers, follow from that: a fill that goes on finds those that it made before.
func since(ctx context.Context, db *store.DB, count int) (begun time.Time, err error) {
	event := store.Event{Action: "bench fill", Detail: fmt.Sprintf("%d certificates", count)}
	err = db.Update(ctx, func(tx *store.Tx) error {
		events, err := tx.Events(maxEvents)
		if err != nil {
			return err
		}
		filled := false
		for _, e := range events {
			if filled = filled || e.Action == event.Action; e.Action == event.Action && e.Detail == event.Detail {
				begun = e.At
				return nil
			}
		}
		switch used, err := tx.HasAccounts(); {
		case err != nil:
			return err
		case used && !filled:
			return ErrUsed
		}
		begun = tx.Now
		return tx.InsertEvent(event)
	})
	return begun, err
}

// maxEvents is how far back an earlier fill is looked for in what operators did.
const maxEvents = 1000

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
		err = db.Update(ctx, func(tx *store.Tx) error { return tx.InsertBulk(batch) })
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

// moment is when certificate n was issued.
func (f *filler) moment(n int) time.Time {
	return f.until.Add(-time.Duration(float64(spread) * float64(f.count-n) / float64(f.count))).Truncate(time.Millisecond)
}

// serial is the serial number of certificate n of a fill: the same in each run of it. As all of the
// authority's, it begins with the minutes since 1970 (sign.Signer), and its second bit is set.
func (f *filler) serial(n int) string {
	var octets [4 + 8 + 8]byte
	binary.BigEndian.PutUint32(octets[:], uint32(f.moment(n).Unix()/60)|1<<30)
	binary.BigEndian.PutUint64(octets[4:], f.place(n))
	binary.BigEndian.PutUint64(octets[12:], mix(uint64(n)^uint64(f.count)<<32))
	return hex.EncodeToString(octets[:serialLength])
}

// mix spreads the bits of a number (SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
