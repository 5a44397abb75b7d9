package store

import (
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// Event is one thing that an operator did: a row of the audit log.
type Event struct {
	At      time.Time `json:"at"`
	Action  string    `json:"action"`            // the command, "eab create"
	Subject string    `json:"subject,omitempty"` // what it was done to
	Detail  string    `json:"detail,omitempty"`  // the rest, for people; no secrets
}

// InsertEvent adds an event to the audit log, at tx.Now. It belongs into the transaction that does it.
func (tx *Tx) InsertEvent(e Event) error {
	if err := tx.insert(`INSERT INTO events (id, at, action, subject, detail) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		rules.NewID(tx.Now), millis(tx.Now), e.Action, e.Subject, e.Detail); err != nil {
		return fmt.Errorf("noting %s in the audit log: %w", e.Action, err)
	}
	return nil
}

// Events lists the newest events, the newest first, at most limit.
func (tx *Tx) Events(limit int) (events []Event, err error) {
	err = tx.each(func(r *row) error {
		events = append(events, Event{At: r.moment(), Action: r.text(), Subject: r.text(), Detail: r.text()})
		return nil
	}, `SELECT at, action, subject, detail FROM events WHERE id > $1 ORDER BY id DESC LIMIT $2`, "", int64(limit))
	if err != nil {
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	return events, nil
}
