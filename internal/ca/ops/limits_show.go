package ops

import (
	"context"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// maxAsked bounds how many subjects one call asks about.
const maxAsked = 100

// showLimits lists what accounts, domains, addresses and sets of names have used of their limits.
func showLimits(ctx context.Context, env Env, subjects []string) (shown []BucketShown, err error) {
	if len(subjects) > maxAsked {
		return nil, rpc.Refuse("%d subjects are too many: at most %d", len(subjects), maxAsked)
	}
	err = env.DB.View(ctx, func(tx *store.Tx) error {
		shown = nil
		for _, subject := range subjects {
			buckets, err := bucketsOf(tx, env, accountID(subject))
			if err != nil {
				return err
			}
			charges, err := tx.Charges(env.Limits, buckets)
			if err != nil {
				return err
			}
			for _, c := range charges {
				shown = append(shown, showBucket(env, c, tx.Now))
			}
		}
		return nil
	})
	return shown, err
}

// bucketsOf are the buckets of a subject: those in the store, and those of limits that are on.
func bucketsOf(tx *store.Tx, env Env, subject string) ([]rules.Bucket, error) {
	if b, err := rules.OrdersPerAccount.ParseSubject(subject); err == nil && !strings.ContainsAny(subject, ".:") {
		return accountBuckets(tx, b)
	}
	var buckets []rules.Bucket
	for _, name := range []rules.LimitName{rules.AccountsPerIP, rules.AccountsPerRange, rules.CertificatesPerDomain, rules.CertificatesPerSet} {
		b, err := name.ParseSubject(subject)
		if err != nil {
			continue // an address is no domain, and the other way round
		}
		stored, err := tx.Buckets(b.ID(), "", 1)
		if err != nil {
			return nil, err
		}
		if env.Limits[name].On() || len(stored) == 1 && stored[0].ID() == b.ID() {
			buckets = append(buckets, b)
		}
	}
	if _, err := rules.CertificatesPerSet.ParseSubject(subject); err != nil {
		return nil, rpc.Refuse("%q is neither an account, nor a domain, nor an address: %v", subject, err)
	}
	return buckets, nil
}

// accountBuckets are the buckets of an account: that of its orders, and those of its names that failed.
func accountBuckets(tx *store.Tx, orders rules.Bucket) ([]rules.Bucket, error) {
	buckets := []rules.Bucket{orders}
	for _, name := range []rules.LimitName{rules.FailedAuthorizations, rules.ConsecutiveFailures} {
		stored, err := tx.Buckets(rules.Bucket{Limit: name, Subject: orders.Subject + "/"}.ID(), "", maxShown)
		if err != nil {
			return nil, err
		}
		for _, b := range stored {
			buckets = append(buckets, b.Bucket)
		}
	}
	return buckets, nil
}

func showBucket(env Env, c rules.Charge, now time.Time) BucketShown {
	shown := BucketShown{Limit: c.Limit, Subject: c.Said()}
	good := c.Full
	if env.Limits == nil {
		shown.Rule = UnknownRule
	}
	if c.Rule.On() {
		shown.Rule, shown.Allowed = c.Rule.String(), c.Rule.Allowed()
		shown.Left, good = c.Rule.Left(c.Full, now)
	}
	if good.After(now) {
		shown.FullAgain = good
	}
	return shown
}
