package front

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// limitsRelation is that of the link from an account to what is left of its limits. It is an
// extension relation, which is a URI (RFC 8288 §2.1.2).
const limitsRelation = "https://github.com/cairn-ca/cairn/blob/main/docs/limits.md#what-a-client-sees"

// limitsLink is the link from an account to its limits, if there are any.
func (f *Front) limitsLink(b base, account rules.Account) []string {
	if !f.Limits.Stored() {
		return nil
	}
	return []string{link(b.limits(account.ID), limitsRelation)}
}

// accountLimits is what an account is told of its limits. It is no part of RFC 8555.
type wireLimits struct {
	Limits []wireQuota  `json:"limits"`
	Paused []wirePaused `json:"paused"`
	Help   string       `json:"help"` // a page for people
}

// wireQuota is what is left of one limit for one subject.
type wireQuota struct {
	Limit     rules.LimitName `json:"limit"`
	Subject   string          `json:"subject"`
	Allowed   int             `json:"allowed"` // at once, when none is used
	Count     int             `json:"count"`   // that come back in each period
	Period    int64           `json:"period"`  // seconds
	Remaining int             `json:"remaining"`
	FullAgain *time.Time      `json:"fullAgain,omitempty"` // absent if none is used
}

// wirePaused is a name that the account may not order for now.
type wirePaused struct {
	Identifier string     `json:"identifier"`
	Since      *time.Time `json:"since"`
	Reason     string     `json:"reason"`
	Unpause    string     `json:"unpause"` // a page for people
}

// Bounds of what one answer lists.
const (
	maxQuotas = 200
	maxPaused = 100
)

// accountLimits lists what is left of the limits that apply to the account that asks, and
// to what it ordered lately.
func (f *Front) accountLimits(ctx context.Context, r accountRequest) (reply, error) {
	if problem := asGet(r.payload); problem != nil {
		return reply{}, problem
	}
	if r.ids[0] != r.account.ID {
		return reply{}, notYours("list of limits")
	}
	var wire wireLimits
	err := f.DB.View(ctx, func(tx *store.Tx) error {
		wire = wireLimits{Limits: []wireQuota{}, Paused: []wirePaused{}, Help: r.base.at(limitsPath)}
		buckets, err := f.bucketsOf(tx, r)
		if err != nil {
			return err
		}
		charges, err := tx.Charges(f.Limits, buckets)
		if err != nil {
			return err
		}
		for _, q := range rules.Look(charges, tx.Now) {
			wire.Limits = append(wire.Limits, showQuota(q, tx.Now))
		}
		paused, err := tx.PausedOf(r.account.ID, "", maxPaused)
		for _, p := range paused {
			wire.Paused = append(wire.Paused, wirePaused{
				Identifier: p.Identifier, Since: stamp(p.Since), Reason: p.Reason, Unpause: f.unpauseLink(r, tx.Now),
			})
		}
		return err
	})
	if err != nil {
		return reply{}, fmt.Errorf("listing the limits of account %s: %w", r.account.ID, err)
	}
	return reply{status: http.StatusOK, body: wire}, nil
}

// bucketsOf are the buckets that the next request of an account may meet.
func (f *Front) bucketsOf(tx *store.Tx, r accountRequest) ([]rules.Bucket, error) {
	buckets := slices.Concat(f.Limits.ForOrder(r.account.ID), f.Limits.ForAccount(r.client))
	for _, limit := range []rules.LimitName{rules.FailedAuthorizations, rules.ConsecutiveFailures} {
		if !f.Limits[limit].On() {
			continue
		}
		failed, err := tx.Buckets(rules.Bucket{Limit: limit, Subject: r.account.ID + "/"}.ID(), "", maxQuotas/4)
		if err != nil {
			return nil, err
		}
		for _, b := range failed {
			buckets = append(buckets, b.Bucket)
		}
	}
	orders, err := tx.OrdersOf(r.account.ID, "", pageSize)
	if err != nil {
		return nil, err
	}
	for _, o := range orders {
		for _, b := range f.Limits.ForCertificate(o.Identifiers, false) {
			if !slices.Contains(buckets, b) && len(buckets) < maxQuotas {
				buckets = append(buckets, b)
			}
		}
	}
	return buckets, nil
}

func showQuota(q rules.Quota, now time.Time) wireQuota {
	wire := wireQuota{
		Limit: q.Limit, Subject: q.Said(), Allowed: q.Rule.Allowed(), Count: q.Rule.Count,
		Period: int64(math.Ceil(q.Rule.Period.Seconds())), Remaining: q.Left,
	}
	if q.Good.After(now) {
		wire.FullAgain = stamp(q.Good.Add(time.Second - 1))
	}
	return wire
}
