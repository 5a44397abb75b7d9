// Package members decides which machines belong to a cluster: it makes the tokens by which they join, takes
// them in, renews their certificates and removes them. The process that holds the key of the roles' CA runs it.
//
// It is trusted: an attacker who controls it can make any machine any role.
package members

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// MaxMembers bounds how many roles machines have together.
const MaxMembers = 1024

// Config says where members are noted and who certifies them. All but Log are required.
type Config struct {
	DB        *store.DB
	Authority func() (*roles.Authority, error) // the CA for roles
	Log       *slog.Logger                     // nil means none
}

// Made is a token, and what it is for.
type Made struct {
	Token   roles.Token
	Node    string
	Roles   []string
	Expires time.Time
}

// NewToken makes a token by which one machine, called node, becomes some roles.
func NewToken(tx *store.Tx, authority *roles.Authority, node string, list []string) (Made, error) {
	if err := errors.Join(rpc.CheckNode(node), roles.CheckRoles(list)); err != nil {
		return Made{}, rpc.Refuse("%v", err)
	}
	for _, role := range list {
		switch _, err := tx.Member(node, role); {
		case err == nil:
			return Made{}, rpc.Refuse("there is a node %s with the role %s already: `cairn nodes remove %s` removes it", node, role, node)
		case !errors.Is(err, store.ErrNotFound):
			return Made{}, err
		}
	}
	made := Made{Token: roles.NewToken(authority.Hash()), Node: node, Roles: list, Expires: tx.Now.Add(roles.TokenLife)}
	if err := tx.InsertRoleToken(store.RoleToken{
		ID: made.Token.Name(), Hash: made.Token.Hash(), Role: strings.Join(list, ","), Node: node, Expires: made.Expires,
	}); err != nil {
		return Made{}, err
	}
	return made, tx.InsertEvent(store.Event{Action: "node token", Subject: node, Detail: "roles " + strings.Join(list, ",") + ", token " + made.Token.Name()})
}

// ServeJoin takes machines in that have a token. Everybody may call.
func ServeJoin(s *rpc.Server, c Config) {
	rpc.HandleMethod(s, rpc.Method{Name: roles.JoinMethod, Limit: maxRequest}, c.join)
}

// ServeRenewal renews the certificates of members, who call over mutual TLS.
func ServeRenewal(s *rpc.Server, c Config) {
	rpc.HandleMethod(s, rpc.Method{Name: roles.RenewMethod, Roles: roles.ClusterRoles(), Limit: maxRequest}, c.renew)
}

// maxRequest bounds a request, in octets: a CSR for P-256 has a few hundred.
const maxRequest = 16 << 10

// join makes the caller the roles that its token says. A crash after the transaction leaves a machine that asks again
// with the same key, which the token then still serves.
func (c Config) join(ctx context.Context, r roles.JoinRequest) (response roles.JoinResponse, err error) {
	// Who has no token costs a look-up: no signature is checked, and nothing waits for the database's writer.
	if err := c.DB.View(ctx, func(tx *store.Tx) error { _, err := knownToken(tx, r); return err }); err != nil {
		return response, err
	}
	key, hash, err := keyOf(r.CSR)
	if err != nil {
		return response, err
	}
	var token store.RoleToken
	if err := c.DB.Update(ctx, func(tx *store.Tx) (err error) { token, err = admit(tx, r, hash); return err }); err != nil {
		return response, err
	}
	authority, err := c.Authority()
	if err != nil {
		return response, err
	}
	response = roles.JoinResponse{Node: token.Node, Certificates: make(map[string][]byte), CA: authority.Certificate().Raw}
	for _, role := range strings.Split(token.Role, ",") {
		if response.Certificates[role], err = authority.Certify(rpc.Peer{Role: role, Node: token.Node}, key, time.Now()); err != nil {
			return roles.JoinResponse{}, err
		}
	}
	if c.Log != nil {
		c.Log.Info("a machine has joined", "node", token.Node, "roles", token.Role)
	}
	return response, nil
}

// keyOf is the key of a CSR, with its rpc.KeyHash.
func keyOf(csr []byte) (*ecdsa.PublicKey, []byte, error) {
	key, err := roles.ParseCSR(csr)
	if err != nil {
		return nil, nil, rpc.Refuse("%v", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, nil, rpc.Refuse("the CSR's key cannot be encoded")
	}
	hash := sha256.Sum256(spki)
	return key, hash[:], nil
}

// knownToken finds the token of r, if r has its secret. It does not tell a token that never was from a secret that is wrong.
func knownToken(tx *store.Tx, r roles.JoinRequest) (store.RoleToken, error) {
	unknown := rpc.Refuse("the token is not known here: make another one")
	token, err := tx.RoleToken(r.ID)
	if errors.Is(err, store.ErrNotFound) {
		return token, unknown
	}
	if err != nil {
		return token, err
	}
	if secret := sha256.Sum256(r.Secret); subtle.ConstantTimeCompare(secret[:], token.Hash) != 1 {
		return token, unknown
	}
	return token, nil
}

// admit checks the token of r and spends it on the machine with a key.
func admit(tx *store.Tx, r roles.JoinRequest, hash []byte) (store.RoleToken, error) {
	token, err := knownToken(tx, r)
	switch {
	case err != nil:
		return token, err
	case !tx.Now.Before(token.Expires):
		return token, rpc.Refuse("the token has expired: make another one")
	case token.Role == rpc.RoleValidator:
		return token, rpc.Refuse("the token is for a remote perspective: use it with `cairn validator --join`")
	case len(token.UsedBy) > 0 && subtle.ConstantTimeCompare(token.UsedBy, hash) != 1:
		return token, rpc.Refuse("the token was used already: make another one")
	case r.Node != "" && r.Node != token.Node:
		return token, rpc.Refuse("the token is for a machine called %s, and this one is called %.63q already: "+
			"make one for that, or remove cluster.json in its data directory first", token.Node, r.Node)
	}
	list, err := tx.Members(MaxMembers)
	if err != nil {
		return token, err
	}
	for _, m := range list {
		if m.Node == token.Node && !bytes.Equal(m.KeyHash, hash) {
			return token, rpc.Refuse("another machine is called %s: `cairn nodes remove %s` there removes it", m.Node, m.Node)
		}
	}
	if len(token.UsedBy) > 0 {
		return token, stillMember(tx, token)
	}
	wanted := strings.Split(token.Role, ",")
	if len(list)+len(wanted) > MaxMembers {
		return token, rpc.Refuse("there are %d roles of machines already, and no more can be", len(list))
	}
	for _, role := range wanted {
		if slices.ContainsFunc(list, func(m store.Member) bool { return m.Node == token.Node && m.Role == role }) {
			continue // with this key: see above
		}
		// ErrExists: another machine became the same a moment ago, by another token. Then this runs again, and says so.
		if err := tx.InsertMember(store.Member{Node: token.Node, Role: role, KeyHash: hash, Added: tx.Now}); err != nil {
			return token, err
		}
	}
	if err := tx.UseRoleToken(token.ID, hash); err != nil {
		return token, err
	}
	return token, tx.InsertEvent(store.Event{Action: "node join", Subject: token.Node, Detail: "roles " + token.Role + ", token " + token.ID})
}

// stillMember is for a machine that asks again since the answer was lost: it may have been removed meanwhile.
func stillMember(tx *store.Tx, token store.RoleToken) error {
	for _, role := range strings.Split(token.Role, ",") {
		_, err := tx.Member(token.Node, role)
		if errors.Is(err, store.ErrNotFound) {
			return rpc.Refuse("the token was used already, and the node was removed: make another one")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// renew makes another certificate for the caller: as it is known, for the key that it joined with.
func (c Config) renew(ctx context.Context, csr []byte) ([]byte, error) {
	peer, shown, ok := rpc.PeerFrom(ctx)
	if !ok {
		return nil, rpc.Refuse("it is not known who calls")
	}
	key, hash, err := keyOf(csr)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(hash, shown[:]) {
		return nil, rpc.Refuse("the CSR is for another key than that of the caller")
	}
	var member store.Member
	err = c.DB.View(ctx, func(tx *store.Tx) (err error) { member, err = tx.Member(peer.Node, peer.Role); return err })
	if errors.Is(err, store.ErrNotFound) || err == nil && !bytes.Equal(member.KeyHash, hash) {
		return nil, &rpc.Refusal{Code: rpc.CodeForbidden, Reason: peer.URI().String() + " does not belong to this cluster any more: let it join anew"}
	}
	if err != nil {
		return nil, err
	}
	authority, err := c.Authority()
	if err != nil {
		return nil, err
	}
	return authority.Certify(peer, key, time.Now())
}

// Own makes the machine that runs this a member: it has the key of the roles' CA, so it
// needs no token. Whoever was called so before is one no more.
func (c Config) Own(ctx context.Context, m *roles.Machine, standing roles.Standing) error {
	authority, err := c.Authority()
	if err != nil {
		return err
	}
	if err := m.Certify(authority, standing); err != nil {
		return err
	}
	hash, err := m.KeyHash()
	if err != nil {
		return err
	}
	return c.DB.Update(ctx, func(tx *store.Tx) error {
		for _, role := range standing.Roles {
			known, err := tx.Member(standing.Node, role)
			switch {
			case err == nil && bytes.Equal(known.KeyHash, hash[:]):
				continue
			case err == nil:
				err = tx.DeleteMember(standing.Node, role)
			case errors.Is(err, store.ErrNotFound):
				err = nil
			}
			if err == nil {
				err = tx.InsertMember(store.Member{Node: standing.Node, Role: role, KeyHash: hash[:], Added: tx.Now})
			}
			if err != nil {
				return fmt.Errorf("taking in this machine as %s: %w", role, err)
			}
		}
		return nil
	})
}

// Shown is a member, and whether it is there.
type Shown struct {
	Node    string    `json:"node"`
	Role    string    `json:"role"`
	Added   time.Time `json:"added"`
	Address string    `json:"address,omitempty"`
	Seen    time.Time `json:"seen,omitzero"`
	Version string    `json:"version,omitempty"`
}

// List lists the members by name.
func List(tx *store.Tx) (shown []Shown, err error) {
	list, err := tx.Members(MaxMembers)
	if err != nil {
		return nil, err
	}
	nodes, err := tx.Nodes("", time.Time{}, MaxMembers)
	if err != nil {
		return nil, err
	}
	there := make(map[rpc.Peer]store.Node)
	for _, n := range nodes {
		there[rpc.Peer{Role: n.Role, Node: n.Node}] = n
	}
	for _, m := range list {
		s := Shown{Node: m.Node, Role: m.Role, Added: m.Added}
		if n, ok := there[rpc.Peer{Role: m.Role, Node: m.Node}]; ok && bytes.Equal(n.KeyHash, m.KeyHash) {
			s.Address, s.Seen, s.Version = n.Address, n.Seen, n.Version
		}
		shown = append(shown, s)
	}
	return shown, nil
}

// Remove ends the membership of a machine in all its roles. Others refuse it a second later.
func Remove(tx *store.Tx, node string) error {
	list, err := tx.Members(MaxMembers)
	if err != nil {
		return err
	}
	var removed []string
	for _, m := range list {
		if m.Node != node {
			continue
		}
		if err := tx.DeleteMember(m.Node, m.Role); err != nil {
			return err
		}
		removed = append(removed, m.Role)
	}
	if len(removed) == 0 {
		return rpc.Refuse("there is no node %.80q: `cairn nodes list` lists them", node)
	}
	return tx.InsertEvent(store.Event{Action: "node remove", Subject: node, Detail: "roles " + strings.Join(removed, ",")})
}
