package ca

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/presence"
	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// cluster is this process among the others of the authority. There is none where the process has the database to itself.
type cluster struct {
	machine  *roles.Machine // who this machine is to the others
	stations []*station
	presence *presence.Presence // once the database was there
}

// station is this process in one of its roles. Each has a port of its own, since each has a certificate of its own.
type station struct {
	role     Role
	calls    Calls
	identity rpc.Identity
	pool     *rpc.Pool
	listener net.Listener // nil where nobody calls the role
	server   rpc.Server
}

// ErrCalls is the error of a process that cannot listen for the calls of others.
var ErrCalls = errors.New("listening for the calls of other processes")

// isClustered reports whether other processes are called, or call this one.
func (c *CA) isClustered() bool {
	return c.config.Database != "" && (!c.config.Roles.Has(RoleSigner) || c.config.Signer.Listen != "")
}

// openCluster listens for calls, as each role that others call.
func (c *CA) openCluster(ctx context.Context) (err error) {
	if !c.isClustered() {
		return nil
	}
	if c.cluster.machine, err = roles.OpenMachine(c.config.Dir); err != nil {
		return err
	}
	for _, s := range []*station{
		{role: RoleSigner, calls: c.config.Signer.Calls},
		{role: RoleWork, calls: c.config.Work.Calls},
		{role: RoleFront, calls: c.config.Front.Calls},
		{role: RoleCRL},
	} {
		if !c.config.Roles.Has(s.role) {
			continue
		}
		s.server.Log, s.server.Trace = c.log, c.observe.tracer
		s.server.Admit = func(ctx context.Context, peer rpc.Peer, key [sha256.Size]byte) error {
			return c.cluster.presence.Admit(ctx, peer, key)
		}
		if s.calls.Listen != "" {
			if s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", s.calls.Listen); err != nil {
				return fmt.Errorf("%w as %s: %w", ErrCalls, s.role, err)
			}
		}
		c.cluster.stations = append(c.cluster.stations, s) // Close closes what it listens on
		if c.config.Roles.Has(RoleSigner) {
			continue // which makes itself known, once there is a database
		}
		if err := c.cluster.identify(s); err != nil {
			return err
		}
	}
	return nil
}

// identify finds out who this process is to the others as s.
func (c *cluster) identify(s *station) (err error) {
	if s.identity, err = c.machine.Identity(string(s.role)); err != nil {
		return err
	}
	s.pool = rpc.NewPool(s.identity)
	return nil
}

// joinOwn makes the machine with the key of the roles' CA a member: it needs no token.
func (c *CA) joinOwn(ctx context.Context) error {
	if !c.isClustered() || !c.config.Roles.Has(RoleSigner) {
		return nil
	}
	if err := c.certifyMachine(ctx); err != nil {
		return err
	}
	for _, s := range c.cluster.stations {
		if err := c.cluster.identify(s); err != nil {
			return err
		}
	}
	return nil
}

// certifyMachine gives the machine with the key of the roles' CA certificates for its roles, as long as those it has
// are not good for long. The identities of its stations have the new ones at once.
func (c *CA) certifyMachine(ctx context.Context) error {
	machine, err := c.config.Machine()
	if err != nil {
		return err
	}
	if _, err := c.roles.make(); err != nil {
		return err
	}
	var list []string
	for _, s := range c.cluster.stations {
		list = append(list, string(s.role))
	}
	return c.newEnrolment().members(c.log).Own(ctx, c.cluster.machine, roles.Standing{Node: nodeName(c.cluster.machine, machine), Roles: list})
}

// nodeName is what a machine is called among the nodes: as before, or by its short name, as far as that is one for a node.
func nodeName(known *roles.Machine, m Machine) string {
	if name := known.Node(); name != "" {
		return name
	}
	for _, name := range m.Names {
		short, _, _ := strings.Cut(name, ".")
		if rpc.CheckNode(short) == nil {
			return short
		}
	}
	return ownNode
}

// meet notes in the database that this process is there, and finds the others.
func (c *CA) meet(ctx context.Context) (err error) {
	if !c.isClustered() {
		return nil
	}
	c.cluster.presence, err = presence.Open(ctx, presence.Config{DB: c.db, Self: c.self, Log: c.log})
	return err
}

// self is what this process is at the moment, once for each of its roles.
func (c *CA) self() (nodes []store.Node, err error) {
	hash, err := c.cluster.machine.KeyHash()
	if err != nil {
		return nil, err
	}
	for _, s := range c.cluster.stations {
		n := store.Node{Node: c.cluster.machine.Node(), Role: string(s.role), Address: c.addressOf(s), KeyHash: hash[:], Version: c.config.Version}
		if s.role == RoleFront {
			n.Instance = c.acme.Instance()
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// addressOf is where others call s; "" if they do not.
func (c *CA) addressOf(s *station) string {
	if s.listener == nil {
		return ""
	}
	addr, _ := s.listener.Addr().(*net.TCPAddr)
	host := cmp.Or(c.config.Advertise, addr.IP.String())
	if c.config.Advertise == "" && addr.IP.IsUnspecified() {
		host = c.reachable()
	}
	return net.JoinHostPort(host, port(s.listener))
}

// reachable is an address at which other machines reach this one, as far as it can tell.
func (c *CA) reachable() string {
	if machine, err := c.config.Machine(); err == nil {
		for _, addr := range machine.Addresses {
			if !addr.IsLoopback() {
				return addr.String()
			}
		}
	}
	return "localhost"
}

// joinURL is where machines join: at the signer's port for calls. "" means that of the front here.
func (c *CA) joinURL() string {
	if s := c.stationOf(RoleSigner); s != nil {
		return "https://" + c.addressOf(s)
	}
	return ""
}

// stationOf is this process as role; nil where it has none.
func (c *CA) stationOf(role Role) *station {
	for _, s := range c.cluster.stations {
		if s.role == role {
			return s
		}
	}
	return nil
}

// clients lists, for this process as one role, those that can be called as another one.
func (c *CA) clients(as, of Role) func(context.Context) ([]rpc.Client, error) {
	return func(ctx context.Context) ([]rpc.Client, error) {
		return c.cluster.presence.Clients(c.stationOf(as).pool, string(of))(ctx)
	}
}

// callServer answers the calls of other processes to this one as s; the signer's also those of machines that join.
func (c *CA) callServer(s *station) listening {
	server := c.server(&s.server)
	server.TLSConfig = s.identity.ServerConfig(rpc.Expect{
		Role: rpc.RoleFront, Roles: []string{rpc.RoleWork, rpc.RoleCRL, rpc.RoleSigner, rpc.RoleOps},
	})
	if s.role == RoleSigner {
		server.Handler = split(c.enrolment(), server.Handler)
		server.TLSConfig.GetConfigForClient = c.roles.configFor
	}
	return listening{server, newLimit().on(s.listener)}
}

// clusterLoops is what this process does to stay one of the cluster's.
func (c *CA) clusterLoops() []func(context.Context) {
	if !c.isClustered() {
		return nil
	}
	loops := []func(context.Context){c.cluster.presence.Run}
	if c.config.Roles.Has(RoleSigner) {
		return append(loops, c.keepOwn)
	}
	return append(loops, func(ctx context.Context) {
		c.cluster.machine.KeepRenewed(ctx, roles.RenewConfig{Log: c.log, Signers: func(ctx context.Context, role string) ([]rpc.Client, error) {
			return c.clients(Role(role), RoleSigner)(ctx)
		}})
	})
}

// keepOwn renews the certificates that are due, once a day.
func (c *CA) keepOwn(ctx context.Context) {
	every(ctx, 24*time.Hour, func() {
		if err := c.certifyMachine(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("the certificate by which other machines know this one was not renewed", "error", err)
		}
	})
}

// make is get that makes the CA for roles where there is none.
func (r *roleCA) make() (*roles.Authority, error) {
	if _, err := r.dir.AddRoles(func() (certificate, key []byte, err error) { return roles.NewAuthority(time.Now()) }); err != nil {
		return nil, err
	}
	authority, _, err := r.get()
	return authority, err
}
