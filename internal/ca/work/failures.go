package work

import (
	"fmt"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// maxReason bounds what is kept of why a name was paused.
const maxReason = 500

// count makes the rate limits of what has become of an authorization: a failure counts, a success
// ends the row of failures, and with one failure too many in a row the name is paused. What is
// tried again, and what was no fault of the client's, does not come here as a failure.
func (w *Worker) count(tx *store.Tx, before, after rules.Authz) error {
	if !w.Limits.Stored() || before.Status == after.Status {
		return nil
	}
	switch after.Status {
	case acme.StatusValid:
		for _, b := range w.Limits.ForFailure(after.Account, after.Identifier) {
			if b.Limit != rules.ConsecutiveFailures {
				continue
			}
			if err := tx.ResetBucket(b); err != nil {
				return err
			}
		}
	case acme.StatusInvalid:
		return w.countFailure(tx, after)
	}
	return nil
}

// countFailure takes from each bucket by itself: one that is empty already stays so.
func (w *Worker) countFailure(tx *store.Tx, a rules.Authz) error {
	charges, err := tx.Charges(w.Limits, w.Limits.ForFailure(a.Account, a.Identifier))
	if err != nil {
		return fmt.Errorf("looking up rate limits: %w", err)
	}
	for _, c := range charges {
		spent := rules.Spend([]rules.Charge{c}, tx.Now)
		if err := tx.SaveCharges(spent.Before, spent.Charges); err != nil {
			return err
		}
		if c.Limit != rules.ConsecutiveFailures || len(spent.Quotas) == 0 || spent.Quotas[0].Left > 0 {
			continue
		}
		if err := tx.Pause(store.Paused{Account: a.Account, Identifier: a.Identifier.Value, Since: tx.Now, Reason: reasonOf(a)}); err != nil {
			return err
		}
	}
	return nil
}

// reasonOf is why an authorization failed, for people.
func reasonOf(a rules.Authz) string {
	challenge := a.Attempted()
	if challenge == nil || challenge.Error == nil {
		return ""
	}
	reason := []rune(challenge.Error.Error())
	if len(reason) > maxReason {
		reason = append(reason[:maxReason], '…')
	}
	return string(reason)
}
