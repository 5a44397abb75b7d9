package ops

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// ValidatorTokenRequest asks for a token by which another host becomes a remote perspective.
type ValidatorTokenRequest struct {
	Node string `json:"node,omitempty"` // what it is to be called; "" for a name of no meaning
	RIR  string `json:"rir,omitempty"`  // in whose service region it is; "" leaves it to the host
}

// ValidatorTokenMade is what to say on the other host.
type ValidatorTokenMade struct {
	Token   string    `json:"token"`
	Node    string    `json:"node"`
	URL     string    `json:"url"` // of the authority
	Expires time.Time `json:"expires"`
}

// ValidatorShown is a remote perspective.
type ValidatorShown struct {
	Node    string    `json:"node"`
	RIR     string    `json:"rir,omitempty"`
	Address string    `json:"address"`
	Added   time.Time `json:"added"`
	Seen    time.Time `json:"seen,omitzero"`
	Version string    `json:"version,omitempty"`
	State   string    `json:"state"` // "answers", or what is wrong
}

// What an operator can do about remote perspectives.
var (
	CreateValidatorToken = Action[ValidatorTokenRequest, ValidatorTokenMade]{Name: "validator-token", Do: createValidatorToken}
	ListValidators       = Action[struct{}, []ValidatorShown]{Name: "validator-list", Do: listValidators}
	RemoveValidator      = Action[string, struct{}]{Name: "validator-remove", Do: removeValidator} // the request is its name
)

// MaxValidators is how many remote perspectives there can be: all are asked each time.
const MaxValidators = 32

func createValidatorToken(ctx context.Context, env Env, r ValidatorTokenRequest) (made ValidatorTokenMade, err error) {
	if r.Node == "" {
		r.Node = fmt.Sprintf("v%.6x", []byte(rand.Text()))
	}
	if err := rpc.CheckNode(r.Node); err != nil {
		return made, rpc.Refuse("%v", err)
	}
	if err := validate.CheckRIR(r.RIR); err != nil {
		return made, rpc.Refuse("%v", err)
	}
	authority, err := rolesAuthority(env)
	if err != nil {
		return made, err
	}
	url, err := joinURL(env)
	if err != nil {
		return made, err
	}
	token := roles.NewToken(authority.Hash())
	err = env.DB.Update(ctx, func(tx *store.Tx) error {
		list, err := tx.Validators(MaxValidators)
		if err != nil {
			return err
		}
		for _, v := range list {
			if v.Node == r.Node {
				return rpc.Refuse("there is a validator %s already: `cairn validator remove %s` removes it", r.Node, r.Node)
			}
		}
		made = ValidatorTokenMade{Token: token.String(), Node: r.Node, URL: url, Expires: tx.Now.Add(roles.TokenLife)}
		if err := tx.InsertRoleToken(store.RoleToken{
			ID: token.Name(), Hash: token.Hash(), Role: rpc.RoleValidator, Node: r.Node, RIR: r.RIR, Expires: made.Expires,
		}); err != nil {
			return err
		}
		return tx.InsertEvent(store.Event{Action: "validator token", Subject: r.Node, Detail: "token " + token.Name()})
	})
	return made, err
}

func listValidators(ctx context.Context, env Env, _ struct{}) (shown []ValidatorShown, err error) {
	err = env.DB.View(ctx, func(tx *store.Tx) error {
		shown = nil
		list, err := tx.Validators(MaxValidators)
		for _, v := range list {
			state := "answers"
			switch {
			case v.Trouble != "" && v.Seen.IsZero():
				state = "not in use yet: " + v.Trouble
			case v.Seen.IsZero():
				state = "not in use yet: it was not called so far"
			case v.Trouble != "":
				state = v.Trouble
			}
			shown = append(shown, ValidatorShown{
				Node: v.Node, RIR: v.RIR, Address: v.Address, Added: v.Added, Seen: v.Seen, Version: v.Version, State: state,
			})
		}
		return err
	})
	return shown, err
}

func removeValidator(ctx context.Context, env Env, node string) (struct{}, error) {
	err := env.DB.Update(ctx, func(tx *store.Tx) error {
		err := tx.DeleteValidator(node)
		if errors.Is(err, store.ErrNotFound) {
			return rpc.Refuse("there is no validator %.80q: `cairn validator list` lists them", node)
		}
		if err != nil {
			return err
		}
		return tx.InsertEvent(store.Event{Action: "validator remove", Subject: node})
	})
	return struct{}{}, err
}
