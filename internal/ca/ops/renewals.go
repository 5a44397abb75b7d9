package ops

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// RenewalRequest asks that the holders of certificates be told when to renew them (RFC 9773 §4.2).
type RenewalRequest struct {
	Serials     []string  `json:"serials"`
	Start       time.Time `json:"start,omitzero"` // zero, like End, for "at once"
	End         time.Time `json:"end,omitzero"`
	Explanation string    `json:"explanation,omitempty"` // a URL
}

// What an operator can do about renewals.
var (
	SetRenewals   = Action[RenewalRequest, int]{Name: "renewals-set", Do: setRenewals}     // answers how many
	ClearRenewals = Action[RenewalRequest, int]{Name: "renewals-clear", Do: clearRenewals} // Serials alone count
)

// maxSerials is how many certificates one call is about, so that its transaction is short.
const maxSerials = 1000

func setRenewals(ctx context.Context, env Env, r RenewalRequest) (int, error) {
	if u, err := url.Parse(r.Explanation); r.Explanation != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "") {
		return 0, rpc.Refuse("%.200q is not the URL of a page that explains the renewal", r.Explanation)
	}
	if r.Start.IsZero() != r.End.IsZero() || !r.Start.IsZero() && r.End.Sub(r.Start) < time.Second {
		return 0, rpc.Refuse("the window must have a start and an end, and the end must come after the start")
	}
	return forEach(ctx, env, r.Serials, func(tx *store.Tx, serial string) error {
		renewal := rules.Renewal{Start: r.Start, End: r.End, Explanation: r.Explanation}
		detail := "from " + r.Start.UTC().Format(time.RFC3339) + " to " + r.End.UTC().Format(time.RFC3339)
		if r.Start.IsZero() {
			renewal.Start, renewal.End = rules.AtOnce(tx.Now)
			detail = "at once"
		}
		return errors.Join(tx.SetRenewal(serial, &renewal),
			tx.InsertEvent(store.Event{Action: "renewals set", Subject: serial, Detail: strings.TrimSpace(detail + " " + r.Explanation)}))
	})
}

func clearRenewals(ctx context.Context, env Env, r RenewalRequest) (int, error) {
	return forEach(ctx, env, r.Serials, func(tx *store.Tx, serial string) error {
		return errors.Join(tx.SetRenewal(serial, nil), tx.InsertEvent(store.Event{Action: "renewals clear", Subject: serial}))
	})
}

// forEach does something to each certificate of a list in one transaction, or to none.
func forEach(ctx context.Context, env Env, serials []string, do func(*store.Tx, string) error) (int, error) {
	if len(serials) == 0 || len(serials) > maxSerials {
		return 0, rpc.Refuse("%d serial numbers: name from 1 to %d at a time", len(serials), maxSerials)
	}
	err := env.DB.Update(ctx, func(tx *store.Tx) error {
		for _, text := range serials {
			serial := canonicalSerial(text)
			certificate, err := tx.Certificate(serial)
			if errors.Is(err, store.ErrNotFound) || err == nil && certificate.State != rules.Issued {
				return rpc.Refuse("this CA has not issued a certificate with the serial number %.64q (nothing was changed)", text)
			}
			if err == nil {
				err = do(tx, serial)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(serials), nil
}

// canonicalSerial takes a serial number as programs show it, "0A:1b…" or "0a1b…", to how it is stored.
func canonicalSerial(text string) string {
	text = strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(strings.TrimSpace(text)))
	text = strings.TrimPrefix(text, "0x")
	if len(text)%2 == 1 {
		text = "0" + text
	}
	for len(text) > 2 && strings.HasPrefix(text, "00") {
		text = text[2:]
	}
	return text
}
