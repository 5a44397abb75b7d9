package ca

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cairn-ca/cairn/internal/ca/datadir"
	"github.com/cairn-ca/cairn/internal/ca/members"
	"github.com/cairn-ca/cairn/internal/ca/ops"
	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// ownNode is what the authority is called among the roles. There is one on a data directory.
const ownNode = "main"

var errNoRoles = errors.New("there is no CA for roles yet: `cairn validator token` makes it")

// roleCA is the CA for roles in this process, loaded when it is first needed.
type roleCA struct {
	dir *datadir.Dir

	mu        sync.Mutex // guards what follows
	authority *roles.Authority
	identity  rpc.Identity
}

// get returns the CA, and who this process is among the roles.
func (r *roleCA) get() (*roles.Authority, rpc.Identity, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.authority != nil {
		return r.authority, r.identity, nil
	}
	pair, found, err := r.dir.Roles()
	if err != nil {
		return nil, rpc.Identity{}, err
	}
	if !found {
		return nil, rpc.Identity{}, errNoRoles
	}
	if r.authority, err = roles.LoadAuthority(pair.Certificate, pair.Key); err != nil {
		return nil, rpc.Identity{}, err
	}
	r.identity = r.authority.Identity(rpc.Peer{Role: rpc.RoleAuthority, Node: ownNode})
	return r.authority, r.identity, nil
}

// own is who this process is among the roles.
func (r *roleCA) own() (rpc.Identity, error) {
	_, identity, err := r.get()
	return identity, err
}

// configFor is for tls.Config.GetConfigForClient of the ACME server: who asks for the server of the
// roles gets a certificate of their CA, everybody else the usual one.
func (r *roleCA) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if hello.ServerName != rpc.ServerName {
		return nil, nil
	}
	_, identity, err := r.get()
	if err != nil {
		return nil, err
	}
	return identity.OpenServerConfig(), nil
}

// split hands requests that came for the server of the roles to theirs, all others to usual.
func split(roles, usual http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && r.TLS.ServerName == rpc.ServerName {
			roles.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, r.RemoteAddr)))
			return
		}
		usual.ServeHTTP(w, r)
	})
}

// callerKey is the key of the caller's HOST:PORT in a request's context.
type callerKey struct{}

// enrolment takes hosts in.
type enrolment struct {
	db    *store.DB
	roles *roleCA
	added func() // called after a host was taken in
}

// members is who belongs to the cluster.
func (e *enrolment) members(log *slog.Logger) members.Config {
	return members.Config{DB: e.db, Log: log, Authority: func() (*roles.Authority, error) {
		authority, _, err := e.roles.get()
		return authority, err
	}}
}

// maxEnrol bounds a request to join, in octets: a CSR for P-256 has a few hundred. Everybody may send one.
const maxEnrol = 16 << 10

// handler answers the calls that need no certificate.
func (e *enrolment) handler(server *rpc.Server) http.Handler {
	rpc.Handle(server, roles.EnrolMethod, e.enrol)
	members.ServeJoin(server, e.members(server.Log))
	return http.MaxBytesHandler(server, maxEnrol)
}

// enrol makes the caller a role, if its token says so. A crash after the transaction leaves a host that asks again with
// the same key, which the token then still serves.
func (e *enrolment) enrol(ctx context.Context, r roles.EnrolRequest) (response roles.EnrolResponse, err error) {
	// Who has no token costs a look-up: no signature is checked, and nothing waits for the database's writer.
	if err := e.db.View(ctx, func(tx *store.Tx) error { _, err := knownToken(tx, r); return err }); err != nil {
		return response, err
	}
	key, err := roles.ParseCSR(r.CSR)
	if err != nil {
		return response, rpc.Refuse("%v", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return response, rpc.Refuse("the CSR's key cannot be encoded")
	}
	hash := sha256.Sum256(spki)
	caller, _ := ctx.Value(callerKey{}).(string)
	joined := store.Validator{KeyHash: hash[:], Version: shortText(r.Version, maxVersion)}
	if joined.Address, err = calledAt(r.Address, caller); err != nil {
		return response, rpc.Refuse("%v", err)
	}
	err = e.db.Update(ctx, func(tx *store.Tx) error { return admit(tx, r, &joined) })
	if err != nil {
		return response, err
	}
	authority, _, err := e.roles.get()
	if err != nil {
		return response, err
	}
	der, err := authority.Certify(rpc.Peer{Role: r.Role, Node: joined.Node}, key, time.Now())
	if err != nil {
		return response, err
	}
	e.added()
	return roles.EnrolResponse{
		Node: joined.Node, RIR: joined.RIR, Address: joined.Address, Certificate: der, CA: authority.Certificate().Raw,
	}, nil
}

// maxVersion bounds what a host says of its version.
const maxVersion = 100

// shortText is the beginning of what another host says of itself, of at most limit octets. What cannot be
// printed is left out: operators see it in their terminals.
func shortText(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, text[:min(len(text), limit)])
	return strings.ToValidUTF8(text, "")
}

// knownToken finds the token of r, if r has its secret.
func knownToken(tx *store.Tx, r roles.EnrolRequest) (store.RoleToken, error) {
	token, err := tx.RoleToken(r.ID)
	if errors.Is(err, store.ErrNotFound) {
		return token, refusedToken()
	}
	if err != nil {
		return token, err
	}
	if secret := sha256.Sum256(r.Secret); subtle.ConstantTimeCompare(secret[:], token.Hash) != 1 {
		return token, refusedToken()
	}
	return token, nil
}

// admit checks the token of r and spends it on v.
func admit(tx *store.Tx, r roles.EnrolRequest, v *store.Validator) error {
	token, err := knownToken(tx, r)
	if err != nil {
		return err
	}
	if err := usable(token, r, v.KeyHash, tx.Now); err != nil {
		return err
	}
	v.Node, v.RIR, v.Added = token.Node, cmp.Or(token.RIR, r.RIR), tx.Now
	list, err := tx.Validators(ops.MaxValidators)
	if err != nil {
		return err
	}
	if len(token.UsedBy) > 0 { // the same key: the answer was lost
		i := slices.IndexFunc(list, func(known store.Validator) bool { return bytes.Equal(known.KeyHash, v.KeyHash) })
		if i < 0 {
			return rpc.Refuse("the token was used already, and the validator was removed: make another one")
		}
		*v = list[i] // the host is what it joined as, whatever it says this time
		return nil
	}
	if len(list) == ops.MaxValidators {
		return rpc.Refuse("there are %d validators already, and no more can be", len(list))
	}
	if err := tx.InsertValidator(*v); errors.Is(err, store.ErrExists) {
		return rpc.Refuse("there is a validator %s already: `cairn validator remove %s` there removes it", v.Node, v.Node)
	} else if err != nil {
		return err
	}
	if err := tx.UseRoleToken(token.ID, v.KeyHash); err != nil {
		return err
	}
	return tx.InsertEvent(store.Event{Action: "validator join", Subject: v.Node, Detail: "at " + v.Address + ", token " + token.ID})
}

// refusedToken does not tell a token that never was from a secret that is wrong.
func refusedToken() error { return rpc.Refuse("the token is not known here: make another one") }

// usable says what speaks against using a token, whose secret r has, for the key with this hash.
func usable(token store.RoleToken, r roles.EnrolRequest, keyHash []byte, now time.Time) error {
	switch {
	case !now.Before(token.Expires):
		return rpc.Refuse("the token has expired: make another one")
	case token.Role != r.Role || r.Role != rpc.RoleValidator: // the other roles join otherwise
		return rpc.Refuse("the token is for another role than %.20q", r.Role)
	case len(token.UsedBy) > 0 && subtle.ConstantTimeCompare(token.UsedBy, keyHash) != 1:
		return rpc.Refuse("the token was used already: make another one")
	case r.Node != "" && r.Node != token.Node:
		return rpc.Refuse("the token is for a node called %s, not %.63q", token.Node, r.Node)
	case r.RIR != "" && token.RIR != "" && r.RIR != token.RIR:
		return rpc.Refuse("the token is for a node in the region of %s, not %.20q", token.RIR, r.RIR)
	}
	if err := validate.CheckRIR(r.RIR); err != nil {
		return rpc.Refuse("%v", err)
	}
	return nil
}

// calledAt is where a host is to be called that said address and came from caller, HOST:PORT both.
func calledAt(address, caller string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n == 0 || !callable(host) {
		return "", errors.New("the host did not say a HOST:PORT at which it can be called (--advertise)")
	}
	if host == "" {
		if host, _, err = net.SplitHostPort(caller); err != nil {
			return "", errors.New("it cannot be told from where the request came")
		}
	}
	return net.JoinHostPort(host, port), nil
}

// callable reports whether host is an address, the name of a host, or nothing. It becomes part of a URL.
func callable(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return !strings.Contains(host, "%") // a zone means something to that host alone (RFC 4007 §6)
	}
	wrong := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_')
	}
	return len(host) <= 253 && !strings.ContainsFunc(host, wrong)
}
