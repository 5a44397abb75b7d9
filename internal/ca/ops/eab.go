package ops

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// ExternalKeyRequest asks for a key with which new accounts are bound (RFC 8555 §7.3.4).
type ExternalKeyRequest struct {
	Names []string      `json:"names,omitempty"` // what its accounts get certificates for; none for all
	Uses  int           `json:"uses,omitempty"`  // how many accounts it binds; 0 for any number
	Valid time.Duration `json:"valid,omitempty"` // 0 for ever
	Note  string        `json:"note,omitempty"`
}

// ExternalKeyMade is a new key, with its secret, and what a client needs to know besides.
type ExternalKeyMade struct {
	ID        string `json:"id"`
	Key       string `json:"key"`       // base64url
	Directory string `json:"directory"` // the URL that clients are to use
}

// ExternalKeyShown is a key without its secret.
type ExternalKeyShown struct {
	ID      string    `json:"id"`
	Names   []string  `json:"names,omitempty"`
	Uses    int       `json:"uses,omitempty"`
	Used    int       `json:"used"`
	Note    string    `json:"note,omitempty"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	State   string    `json:"state"` // "usable", or why it is not
}

// What an operator can do about external account binding.
var (
	CreateExternalKey = Action[ExternalKeyRequest, ExternalKeyMade]{Name: "eab-create", Do: createExternalKey}
	ListExternalKeys  = Action[struct{}, []ExternalKeyShown]{Name: "eab-list", Do: listExternalKeys}
	RevokeExternalKey = Action[string, ExternalKeyShown]{Name: "eab-revoke", Do: revokeExternalKey} // the request is an ID
)

// Limits of a key, so that what an operator sees fits a screen.
const (
	maxKeyNames = 100
	maxNote     = 200
	maxShown    = 10_000
)

func createExternalKey(ctx context.Context, env Env, r ExternalKeyRequest) (made ExternalKeyMade, err error) {
	switch {
	case len(r.Names) > maxKeyNames:
		return made, rpc.Refuse("%d names are too many: at most %d", len(r.Names), maxKeyNames)
	case len(r.Note) > maxNote:
		return made, rpc.Refuse("the note is longer than %d octets", maxNote)
	case r.Uses < 0 || r.Valid < 0:
		return made, rpc.Refuse("a key cannot be for less than nothing")
	}
	names, err := acme.ParseSubtrees(r.Names)
	if err != nil {
		return made, rpc.Refuse("%v", err)
	}
	addresses, err := env.Dir.Addresses()
	if err != nil {
		return made, err
	}
	err = env.DB.Update(ctx, func(tx *store.Tx) error {
		key := rules.ExternalKey{Names: names, Uses: r.Uses, Note: r.Note}
		if r.Valid > 0 {
			key.Expires = tx.Now.Add(r.Valid)
		}
		key = rules.NewExternalKey(key, tx.Now)
		if err := tx.InsertExternalKey(key); err != nil {
			return err
		}
		made = ExternalKeyMade{
			ID: key.ID, Key: base64.RawURLEncoding.EncodeToString(key.MAC), Directory: addresses.ACME + "/directory",
		}
		return tx.InsertEvent(store.Event{Action: "eab create", Subject: key.ID, Detail: describeKey(key)})
	})
	return made, err
}

// describeKey says what a key is for.
func describeKey(k rules.ExternalKey) string {
	uses, names, end := "any number of accounts", "all names", "without an end"
	if k.Uses > 0 {
		if uses = "1 account"; k.Uses > 1 {
			uses = fmt.Sprintf("%d accounts", k.Uses)
		}
	}
	if list := k.Names.Strings(); len(list) > 0 {
		names = strings.Join(list, ", ")
	}
	if !k.Expires.IsZero() {
		end = "until " + k.Expires.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("%s, %s, %s", uses, names, end)
}

func listExternalKeys(ctx context.Context, env Env, _ struct{}) (shown []ExternalKeyShown, err error) {
	err = env.DB.View(ctx, func(tx *store.Tx) error {
		shown = nil
		keys, err := tx.ExternalKeys(maxShown)
		for _, key := range keys {
			shown = append(shown, showKey(key, tx.Now))
		}
		return err
	})
	return shown, err
}

func showKey(k rules.ExternalKey, now time.Time) ExternalKeyShown {
	shown := ExternalKeyShown{
		ID: k.ID, Names: k.Names.Strings(), Uses: k.Uses, Used: k.Used, Note: k.Note,
		Created: k.Created, Expires: k.Expires, State: "usable",
	}
	if why := k.Unusable(now); why != "" {
		shown.State = why
	}
	return shown
}

func revokeExternalKey(ctx context.Context, env Env, id string) (shown ExternalKeyShown, err error) {
	err = env.DB.Update(ctx, func(tx *store.Tx) error {
		before, err := tx.ExternalKey(id)
		if errors.Is(err, store.ErrNotFound) {
			return rpc.Refuse("there is no external account key %.64q: `cairn eab list` shows all", id)
		}
		if err != nil {
			return err
		}
		after := before.Revoke(tx.Now)
		shown = showKey(after, tx.Now)
		if !before.Revoked.IsZero() {
			return nil
		}
		return errors.Join(tx.UpdateExternalKey(before, after), tx.InsertEvent(store.Event{Action: "eab revoke", Subject: id}))
	})
	return shown, err
}
