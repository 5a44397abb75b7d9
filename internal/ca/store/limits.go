package store

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// micros is how a bucket's time is stored: Unix time in microseconds, rounded up, so
// that no rounding permits more.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Add(time.Microsecond - 1).UnixMicro()
}

func microMoment(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// Charges loads buckets, each with the limit that is in force for its subject: the
// configured one, or what an operator decided.
func (tx *Tx) Charges(limits rules.Limits, buckets []rules.Bucket) ([]rules.Charge, error) {
	charges := make([]rules.Charge, 0, len(buckets))
	for _, b := range buckets {
		rule, err := tx.ruleFor(limits, b)
		if err != nil {
			return nil, err
		}
		full, err := tx.bucket(b.ID())
		if err != nil {
			return nil, err
		}
		charges = append(charges, rules.Charge{Bucket: b, Rule: rule, Full: full})
	}
	return charges, nil
}

// ruleFor is the limit that is in force for b.
func (tx *Tx) ruleFor(limits rules.Limits, b rules.Bucket) (rules.Limit, error) {
	o, err := tx.Override(b.Limit, b.Owner())
	switch {
	case errors.Is(err, ErrNotFound), err == nil && !o.In(tx.Now):
		return limits[b.Limit], nil
	case err != nil:
		return rules.Limit{}, err
	case o.Unlimited:
		return rules.Limit{}, nil
	}
	return o.Rule, nil
}

// bucket is when a bucket is as good as new; zero if it is not there, and so is.
func (tx *Tx) bucket(id string) (good time.Time, err error) {
	err = tx.first(func(r *row) error { good = microMoment(r.number()); return nil }, `SELECT good FROM buckets WHERE id = $1`, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return good, fmt.Errorf("bucket %s: %w", id, err)
	}
	return good, nil
}

// SaveCharges stores buckets that were taken from, as before and after say. ErrConflict: one is not as it was loaded.
func (tx *Tx) SaveCharges(before, after []rules.Charge) error {
	for i, c := range after {
		if err := tx.swap(`INSERT INTO buckets (id, good) VALUES ($1, $2)
			ON CONFLICT (id) DO UPDATE SET good = $2 WHERE buckets.good = $3`,
			c.ID(), micros(c.Full), micros(before[i].Full)); err != nil {
			if errors.Is(err, ErrConflict) {
				tx.worth = contendedRuns
			}
			return fmt.Errorf("bucket %s: %w", c.ID(), err)
		}
	}
	return nil
}

// ResetBucket makes a bucket as good as new.
func (tx *Tx) ResetBucket(b rules.Bucket) error {
	if _, err := tx.exec(`DELETE FROM buckets WHERE id = $1`, b.ID()); err != nil {
		return fmt.Errorf("bucket %s: %w", b.ID(), err)
	}
	return nil
}

// StoredBucket is a bucket in the store.
type StoredBucket struct {
	rules.Bucket
	Good time.Time // when it is as good as new
}

// Buckets lists at most limit buckets whose IDs begin with prefix, in order, after the ID after.
func (tx *Tx) Buckets(prefix, after string, limit int) (buckets []StoredBucket, err error) {
	from := prefix
	if after != "" {
		from = max(from, after+"\x01") // the next ID: none has such a character
	}
	err = tx.each(func(r *row) error {
		buckets = append(buckets, StoredBucket{splitBucket(r.text()), microMoment(r.number())})
		return nil
	}, `SELECT id, good FROM buckets WHERE id >= $1 AND id < $2 ORDER BY id LIMIT $3`, from, prefix+"\U0010ffff", int64(limit))
	if err != nil {
		return nil, fmt.Errorf("buckets %s: %w", prefix, err)
	}
	return buckets, nil
}

func splitBucket(id string) rules.Bucket {
	limit, subject, _ := strings.Cut(id, ":")
	return rules.Bucket{Limit: rules.LimitName(limit), Subject: subject}
}

// DropBucket forgets a bucket that is as good as new. One that was taken from meanwhile stays.
func (tx *Tx) DropBucket(b StoredBucket) error {
	if _, err := tx.exec(`DELETE FROM buckets WHERE id = $1 AND good = $2`, b.ID(), micros(b.Good)); err != nil {
		return fmt.Errorf("bucket %s: %w", b.ID(), err)
	}
	return nil
}

// Override finds what an operator decided for a subject.
func (tx *Tx) Override(limit rules.LimitName, subject string) (o rules.Override, err error) {
	id := rules.Bucket{Limit: limit, Subject: subject}.ID()
	if err := tx.first(func(r *row) (err error) { o, err = readOverride(r); return err },
		`SELECT id, rule, unlimited, note, created, expires FROM overrides WHERE id = $1`, id); err != nil {
		return rules.Override{}, fmt.Errorf("override %s: %w", id, err)
	}
	return o, nil
}

// Overrides lists at most limit overrides, by limit and subject.
func (tx *Tx) Overrides(limit int) (overrides []rules.Override, err error) {
	err = tx.each(func(r *row) error {
		o, err := readOverride(r)
		overrides = append(overrides, o)
		return err
	}, `SELECT id, rule, unlimited, note, created, expires FROM overrides WHERE id > '' ORDER BY id LIMIT $1`, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("overrides: %w", err)
	}
	return overrides, nil
}

func readOverride(r *row) (o rules.Override, err error) {
	b := splitBucket(r.text())
	o.Limit, o.Subject = b.Limit, b.Subject
	if o.Rule, err = rules.ParseLimit(r.text()); err != nil {
		return o, fmt.Errorf("override %s: %w", b.ID(), err)
	}
	o.Unlimited, o.Note, o.Created, o.Expires = r.flag(), r.text(), r.moment(), r.moment()
	return o, nil
}

// SetOverride stores what an operator decided, in place of what was decided before.
func (tx *Tx) SetOverride(o rules.Override) error {
	if err := tx.swap(`INSERT INTO overrides (id, rule, unlimited, note, created, expires) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (id) DO UPDATE SET rule = $2, unlimited = $3, note = $4, created = $5, expires = $6`,
		rules.Bucket{Limit: o.Limit, Subject: o.Subject}.ID(), o.Rule.String(), flag(o.Unlimited), o.Note, millis(o.Created), millis(o.Expires)); err != nil {
		return fmt.Errorf("override of %s for %s: %w", o.Limit, o.Subject, err)
	}
	return nil
}

// RemoveOverride forgets one; ErrConflict if there is none.
func (tx *Tx) RemoveOverride(limit rules.LimitName, subject string) error {
	id := rules.Bucket{Limit: limit, Subject: subject}.ID()
	if err := tx.swap(`DELETE FROM overrides WHERE id = $1`, id); err != nil {
		return fmt.Errorf("override %s: %w", id, err)
	}
	return nil
}

// NoteCertified remembers that there is to be a certificate for a set of identifiers (rules.SetOf).
func (tx *Tx) NoteCertified(set string) error {
	if _, err := tx.exec(`INSERT INTO certified_sets (id, at) VALUES ($1, $2)
		ON CONFLICT (id) DO UPDATE SET at = $2`, set, millis(tx.Now)); err != nil {
		return fmt.Errorf("set %s: %w", set, err)
	}
	return nil
}

// Certified is when there was last to be a certificate for a set of identifiers; zero for never.
func (tx *Tx) Certified(set string) (at time.Time, err error) {
	err = tx.first(func(r *row) error { at = r.moment(); return nil }, `SELECT at FROM certified_sets WHERE id = $1`, set)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return at, fmt.Errorf("set %s: %w", set, err)
	}
	return at, nil
}
