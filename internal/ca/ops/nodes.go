package ops

import (
	"context"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/members"
	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// NodeTokenRequest asks for a token by which another machine joins the cluster.
type NodeTokenRequest struct {
	Node  string   `json:"node"` // what it is to be called
	Roles []string `json:"roles"`
}

// NodeTokenMade is what to say on the other machine.
type NodeTokenMade struct {
	Token   string    `json:"token"`
	Node    string    `json:"node"`
	URL     string    `json:"url"` // where it joins
	Expires time.Time `json:"expires"`
}

// What an operator can do about the machines of a cluster.
var (
	CreateNodeToken = Action[NodeTokenRequest, NodeTokenMade]{Name: "node-token", Do: createNodeToken}
	ListNodes       = Action[struct{}, []members.Shown]{Name: "node-list", Do: listNodes}
	RemoveNode      = Action[string, struct{}]{Name: "node-remove", Do: removeNode} // the request is its name
)

func createNodeToken(ctx context.Context, env Env, r NodeTokenRequest) (made NodeTokenMade, err error) {
	if err := roles.CheckRoles(r.Roles); err != nil {
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
	err = env.DB.Update(ctx, func(tx *store.Tx) error {
		token, err := members.NewToken(tx, authority, r.Node, r.Roles)
		made = NodeTokenMade{Token: token.Token.String(), Node: token.Node, URL: url, Expires: token.Expires}
		return err
	})
	return made, err
}

// joinURL is where machines and validators join.
func joinURL(env Env) (string, error) {
	if env.JoinURL != "" {
		return env.JoinURL, nil
	}
	addresses, err := env.Dir.Addresses()
	return addresses.ACME, err
}

// rolesAuthority is the CA for roles, which is made where there is none.
func rolesAuthority(env Env) (*roles.Authority, error) {
	pair, err := env.Dir.AddRoles(func() (certificate, key []byte, err error) { return roles.NewAuthority(time.Now()) })
	if err != nil {
		return nil, err
	}
	return roles.LoadAuthority(pair.Certificate, pair.Key)
}

func listNodes(ctx context.Context, env Env, _ struct{}) (shown []members.Shown, err error) {
	err = env.DB.View(ctx, func(tx *store.Tx) error { shown, err = members.List(tx); return err })
	return shown, err
}

func removeNode(ctx context.Context, env Env, node string) (struct{}, error) {
	return struct{}{}, env.DB.Update(ctx, func(tx *store.Tx) error { return members.Remove(tx, node) })
}
