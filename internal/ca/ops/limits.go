package ops

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// LimitRequest names a limit and one of its subjects, as an operator writes them.
type LimitRequest struct {
	Limit   string `json:"limit"`
	Subject string `json:"subject"`
}

// OverrideRequest asks for another limit for one subject.
type OverrideRequest struct {
	LimitRequest
	Rule  string    `json:"rule"`           // as rules.ParseLimit reads it, or "unlimited"
	Until time.Time `json:"until,omitzero"` // when the usual limit is back; zero for never
	Note  string    `json:"note,omitempty"`
}

// OverrideShown is a decision about one subject.
type OverrideShown struct {
	Limit   rules.LimitName `json:"limit"`
	Subject string          `json:"subject"`
	Rule    string          `json:"rule"`
	Note    string          `json:"note,omitempty"`
	Expires time.Time       `json:"expires,omitzero"`
	Expired bool            `json:"expired,omitempty"`
	Idle    bool            `json:"idle,omitempty"` // the limit is off, so that the override changes nothing
}

// LimitShown is a limit that is on.
type LimitShown struct {
	Limit rules.LimitName `json:"limit"`
	Rule  string          `json:"rule"`
}

// LimitsShown is all that is configured and decided.
type LimitsShown struct {
	Known     bool            `json:"known"` // whether Limits are known: the server must run for that
	Limits    []LimitShown    `json:"limits"`
	Overrides []OverrideShown `json:"overrides"`
}

// BucketShown is what is used of a limit by one subject.
type BucketShown struct {
	Limit     rules.LimitName `json:"limit"`
	Subject   string          `json:"subject"`
	Rule      string          `json:"rule"` // "" for no limit
	Allowed   int             `json:"allowed"`
	Left      int             `json:"left"`
	FullAgain time.Time       `json:"fullAgain,omitzero"` // zero if it is now
}

// UnknownRule stands for the rule of a limit that is not known, since the server does not run.
const UnknownRule = "unknown"

// PausedShown is a name that an account may not order for now.
type PausedShown struct {
	Account    string    `json:"account"`
	Identifier string    `json:"identifier"`
	Since      time.Time `json:"since"`
	Reason     string    `json:"reason"`
}

// UnpauseRequest names an account and one of its paused names; without one, all of them are meant.
type UnpauseRequest struct {
	Account    string `json:"account"`
	Identifier string `json:"identifier,omitempty"`
}

// What an operator can do about rate limits.
var (
	ListLimits  = Action[struct{}, LimitsShown]{Name: "limits-list", Do: listLimits}
	ShowLimits  = Action[[]string, []BucketShown]{Name: "limits-show", Do: showLimits} // accounts, domains, addresses
	SetLimit    = Action[OverrideRequest, OverrideShown]{Name: "limits-set", Do: setLimit}
	UnsetLimit  = Action[LimitRequest, OverrideShown]{Name: "limits-unset", Do: unsetLimit}
	ResetLimit  = Action[LimitRequest, LimitRequest]{Name: "limits-reset", Do: resetLimit}
	ListPaused  = Action[struct{}, []PausedShown]{Name: "limits-paused", Do: listPaused}
	UnpauseName = Action[UnpauseRequest, int]{Name: "limits-unpause", Do: unpauseName} // how many names
)

func offerLimits(s *Server) {
	offer(s, ListLimits)
	offer(s, ShowLimits)
	offer(s, SetLimit)
	offer(s, UnsetLimit)
	offer(s, ResetLimit)
	offer(s, ListPaused)
	offer(s, UnpauseName)
}

func listLimits(ctx context.Context, env Env, _ struct{}) (shown LimitsShown, err error) {
	shown.Known = env.Limits != nil
	for _, name := range rules.LimitNames() {
		if limit := env.Limits[name]; limit.On() {
			shown.Limits = append(shown.Limits, LimitShown{name, limit.String()})
		}
	}
	err = env.DB.View(ctx, func(tx *store.Tx) error {
		shown.Overrides = nil
		overrides, err := tx.Overrides(maxShown)
		for _, o := range overrides {
			shown.Overrides = append(shown.Overrides, showOverride(env, o, tx.Now))
		}
		return err
	})
	return shown, err
}

func showOverride(env Env, o rules.Override, now time.Time) OverrideShown {
	shown := OverrideShown{
		Limit: o.Limit, Subject: o.Subject, Rule: o.Rule.String(), Note: o.Note, Expires: o.Expires,
		Expired: !o.In(now), Idle: env.Limits != nil && !env.Limits[o.Limit].On(),
	}
	if o.Unlimited {
		shown.Rule = "unlimited"
	}
	return shown
}

// bucket reads what an operator calls a limit and a subject. An account may be named by its URL.
func (r LimitRequest) bucket() (rules.Bucket, error) {
	name, err := rules.ParseLimitName(r.Limit)
	if err != nil {
		return rules.Bucket{}, rpc.Refuse("%v", err)
	}
	bucket, err := name.ParseSubject(accountID(r.Subject))
	if err != nil {
		return bucket, rpc.Refuse("%s %q: %v", name, r.Subject, err)
	}
	return bucket, nil
}

// accountID is the last part of an account's URL, or text as it is.
func accountID(text string) string {
	if _, path, ok := strings.Cut(text, "://"); ok {
		return path[strings.LastIndexByte(path, '/')+1:]
	}
	return text
}

func setLimit(ctx context.Context, env Env, r OverrideRequest) (shown OverrideShown, err error) {
	bucket, err := r.bucket()
	if err != nil {
		return shown, err
	}
	if len(r.Note) > maxNote {
		return shown, rpc.Refuse("the note is longer than %d octets", maxNote)
	}
	o := rules.Override{Limit: bucket.Limit, Subject: bucket.Owner(), Note: r.Note, Expires: r.Until}
	if o.Unlimited = r.Rule == "unlimited"; !o.Unlimited {
		if o.Rule, err = rules.ParseLimit(r.Rule); err != nil || !o.Rule.On() {
			return shown, rpc.Refuse("%q: give COUNT/PERIOD such as 500/7d, or unlimited", r.Rule)
		}
	}
	if bucket.Owner() != bucket.Subject {
		return shown, rpc.Refuse("%s is set for an account and all its names: %q", bucket.Limit, bucket.Owner())
	}
	err = env.DB.Update(ctx, func(tx *store.Tx) error {
		if o.Created = tx.Now; !o.In(tx.Now) {
			return rpc.Refuse("%s is over already", o.Expires.UTC().Format(time.RFC3339))
		}
		shown = showOverride(env, o, tx.Now)
		if err := carry(tx, env, bucket, o.Rule); err != nil {
			return err
		}
		detail := strings.TrimSuffix(fmt.Sprintf("%s %s", shown.Rule, r.Note), " ")
		return errors.Join(tx.SetOverride(o), tx.InsertEvent(store.Event{Action: "limits set", Subject: bucket.ID(), Detail: detail}))
	})
	return shown, err
}

func unsetLimit(ctx context.Context, env Env, r LimitRequest) (shown OverrideShown, err error) {
	bucket, err := r.bucket()
	if err != nil {
		return shown, err
	}
	err = env.DB.Update(ctx, func(tx *store.Tx) error {
		o, err := tx.Override(bucket.Limit, bucket.Owner())
		if errors.Is(err, store.ErrNotFound) {
			return rpc.Refuse("nothing was set for %s %s: `cairn limits list` shows what is", bucket.Limit, bucket.Said())
		}
		if err != nil {
			return err
		}
		shown = showOverride(env, o, tx.Now)
		if err := carry(tx, env, bucket, env.Limits[bucket.Limit]); err != nil {
			return err
		}
		return errors.Join(tx.RemoveOverride(o.Limit, o.Subject), tx.InsertEvent(store.Event{Action: "limits unset", Subject: bucket.ID()}))
	})
	return shown, err
}

// carry has the buckets of a subject say under another rule what they say under the one in force. Where
// the latter is not known, since the server does not run, they are left as they are.
func carry(tx *store.Tx, env Env, of rules.Bucket, to rules.Limit) error {
	stored, err := tx.Buckets(of.ID(), "", maxShown)
	if err != nil {
		return err
	}
	var buckets []rules.Bucket
	for _, b := range stored {
		if b.Owner() == of.Owner() {
			buckets = append(buckets, b.Bucket)
		}
	}
	before, err := tx.Charges(env.Limits, buckets)
	if err != nil {
		return err
	}
	after := slices.Clone(before)
	for i, c := range before {
		after[i].Full = c.Rule.Carry(to, c.Full, tx.Now)
	}
	return tx.SaveCharges(before, after)
}

func resetLimit(ctx context.Context, env Env, r LimitRequest) (LimitRequest, error) {
	bucket, err := r.bucket()
	if err != nil {
		return r, err
	}
	return LimitRequest{Limit: string(bucket.Limit), Subject: bucket.Said()}, env.DB.Update(ctx, func(tx *store.Tx) error {
		if bucket.Owner() == bucket.Subject && (bucket.Limit == rules.FailedAuthorizations || bucket.Limit == rules.ConsecutiveFailures) {
			return rpc.Refuse("%s is reset for one name of an account: give ACCOUNT/NAME", bucket.Limit)
		}
		return errors.Join(tx.ResetBucket(bucket), tx.InsertEvent(store.Event{Action: "limits reset", Subject: bucket.ID()}))
	})
}

func listPaused(ctx context.Context, env Env, _ struct{}) (shown []PausedShown, err error) {
	err = env.DB.View(ctx, func(tx *store.Tx) error {
		shown = nil
		list, err := tx.AllPaused(maxShown)
		for _, p := range list {
			shown = append(shown, PausedShown(p))
		}
		return err
	})
	return shown, err
}

func unpauseName(ctx context.Context, env Env, r UnpauseRequest) (count int, err error) {
	r.Account = accountID(r.Account)
	if _, err := rules.OrdersPerAccount.ParseSubject(r.Account); err != nil {
		return 0, rpc.Refuse("%v", err)
	}
	err = env.DB.Update(ctx, func(tx *store.Tx) (err error) {
		subject := r.Account
		if r.Identifier == "" {
			count, err = tx.UnpauseSome(r.Account, maxShown)
		} else {
			name, _ := acme.IdentifierFor(r.Identifier).Base()
			subject += "/" + name.Value
			count, err = 1, tx.UnpauseOne(store.Paused{Account: r.Account, Identifier: name.Value})
		}
		if errors.Is(err, store.ErrConflict) || err == nil && count == 0 {
			return rpc.Refuse("nothing is paused under that name: `cairn limits paused` lists what is")
		}
		if err != nil {
			return err
		}
		return tx.InsertEvent(store.Event{Action: "limits unpause", Subject: subject, Detail: fmt.Sprintf("%d names", count)})
	})
	return count, err
}
