package solve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/netutil"

	"github.com/cairn-ca/cairn/acme"
)

// ErrPortTaken says that another program listens where a Standalone would.
var ErrPortTaken = errors.New("the port is already in use by another process on this system (such as a web server)")

// ErrPortForbidden says that listening there takes more rights.
var ErrPortForbidden = errors.New("this user may not listen there")

// ListenersConfig says what Listeners begin with.
type ListenersConfig struct {
	// Inherited are sockets that the process was started with, such as by systemd. They stand for
	// every address of their port, so that listening takes no rights of our own.
	Inherited []net.Listener
	Log       *slog.Logger
}

// Listeners are the ports that the solvers of one process have open. Several solvers answer on one
// port: it is opened for the first challenge and closed after the last one. Its methods may be called at once.
type Listeners struct {
	log *slog.Logger

	// mu is also held while a port is opened or closed: who wants one that is being closed has to wait.
	mu        sync.Mutex
	ports     map[string]*port     // by address and port; guarded by mu
	inherited map[int][]*inherited // by port
	serving   sync.WaitGroup       // of what is inherited
}

// maxConnections is how many connections a port serves at once. A CA comes with a few; strangers
// on the Internet may come with any number.
const maxConnections = 100

// closeGrace is how long a port that is closed lets those finish who are connected.
const closeGrace = time.Second

// port is one port in use.
type port struct {
	kind    acme.ChallengeType
	answers answers
	users   int
	stop    func() // closes it
}

// answers are the challenges that a port answers. Calls may come at once, and while connections are served.
type answers interface {
	// serve answers on a listener until it is closed.
	serve(ctx context.Context, listener net.Listener)
	// close ends what serve has begun, once the listeners are closed.
	close(ctx context.Context)
}

// NewListeners takes over what is inherited: whoever connects there is served from now on, or sent away at once.
func NewListeners(c ListenersConfig) *Listeners {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	l := &Listeners{log: c.Log, ports: make(map[string]*port), inherited: make(map[int][]*inherited)}
	for _, listener := range c.Inherited {
		address, ok := listener.Addr().(*net.TCPAddr)
		if !ok {
			c.Log.Warn("a socket that was handed over is not TCP: it is not used", "address", listener.Addr())
			continue
		}
		c.Log.Debug("using a socket that was handed over", "address", address)
		i := newInherited(listener)
		l.inherited[address.Port] = append(l.inherited[address.Port], i)
		l.serving.Go(i.accept)
	}
	return l
}

// Close gives up what is inherited. No solver uses it any more.
func (l *Listeners) Close() {
	for _, list := range l.inherited {
		for _, i := range list {
			i.close()
		}
	}
	l.serving.Wait()
}

// use opens a port for challenges of a kind, or joins those who use it. The function that it returns gives it up again.
func (l *Listeners) use(ctx context.Context, kind acme.ChallengeType, address string, number int) (answers, func(), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.inherited[number]) > 0 {
		address = "" // there is no choice
	}
	key := net.JoinHostPort(address, strconv.Itoa(number))
	p := l.ports[key]
	switch {
	case p == nil:
		listeners, err := l.open(ctx, address, number)
		if err != nil {
			return nil, nil, err
		}
		p = l.start(ctx, kind, listeners)
		l.ports[key] = p
	case p.kind != kind:
		return nil, nil, fmt.Errorf("port %d cannot serve %s and %s: give them different ports (--http-01-port, --tls-alpn-01-port)", number, p.kind, kind)
	}
	p.users++
	return p.answers, sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if p.users--; p.users == 0 {
			delete(l.ports, key)
			p.stop()
		}
	}), nil
}

// start serves on listeners.
func (l *Listeners) start(ctx context.Context, kind acme.ChallengeType, listeners []net.Listener) *port {
	p := &port{kind: kind}
	if kind == acme.TLSALPN01 {
		p.answers = newCertificates(l.log)
	} else {
		p.answers = newFiles(l.log)
	}
	ctx = context.WithoutCancel(ctx) // the order that came first may be over before others
	var serving sync.WaitGroup
	for i, listener := range listeners {
		listeners[i] = netutil.LimitListener(listener, maxConnections)
		serving.Go(func() { p.answers.serve(ctx, listeners[i]) })
	}
	p.stop = func() {
		for _, listener := range listeners {
			_ = listener.Close()
		}
		p.answers.close(ctx)
		serving.Wait()
	}
	return p
}

// open opens a socket for each family, because CAs prefer IPv6 where a name has
// an address there. A machine may lack one family, but a port that is taken in
// either would make validation depend on which one the CA tries.
func (l *Listeners) open(ctx context.Context, address string, number int) ([]net.Listener, error) {
	if list := l.inherited[number]; len(list) > 0 {
		var listeners []net.Listener
		for _, i := range list {
			listeners = append(listeners, i.borrow())
		}
		return listeners, nil
	}
	targets := map[string]string{"tcp6": "::", "tcp4": "0.0.0.0"}
	if address != "" {
		targets = map[string]string{"tcp": address}
	}
	var listeners []net.Listener
	var failures []error
	for network, host := range targets {
		where := net.JoinHostPort(host, strconv.Itoa(number))
		listener, err := new(net.ListenConfig).Listen(ctx, network, where)
		if err != nil {
			failures = append(failures, listenError(where, err))
			continue
		}
		listeners = append(listeners, listener)
	}
	failure := errors.Join(failures...)
	if len(listeners) > 0 && !errors.Is(failure, ErrPortTaken) {
		return listeners, nil
	}
	for _, listener := range listeners {
		_ = listener.Close()
	}
	for _, err := range failures { // the reason that a person can do something about
		if errors.Is(err, ErrPortTaken) {
			return nil, err
		}
	}
	return nil, failures[0]
}

func listenError(address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		err = ErrPortTaken
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		err = ErrPortForbidden
	}
	return fmt.Errorf("listening on %s for the challenge: %w", address, err)
}
