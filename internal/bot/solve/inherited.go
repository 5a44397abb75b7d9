package solve

import (
	"errors"
	"net"
	"sync"
	"time"
)

// inherited is a socket that somebody else opened and keeps open. It is lent to a port while there are
// challenges; in between, connections are accepted and closed, because those that nobody accepts
// would wait, and systemd would start the program again for them.
type inherited struct {
	listener net.Listener
	over     chan struct{} // closed by close, once
	once     sync.Once

	mu   sync.Mutex
	loan *loan // who has it; nil for nobody; guarded by mu
}

func newInherited(listener net.Listener) *inherited {
	return &inherited{listener: listener, over: make(chan struct{})}
}

// accept runs until close.
func (i *inherited) accept() {
	for {
		conn, err := i.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as too many open files: it passes, and the socket is needed for as long as the process lives
			if !i.pause() {
				return
			}
			continue
		}
		i.mu.Lock()
		loan := i.loan
		i.mu.Unlock()
		if loan == nil || !loan.hand(conn) {
			_ = conn.Close()
		}
	}
}

func (i *inherited) close() {
	i.once.Do(func() { close(i.over) })
	_ = i.listener.Close()
}

// acceptPause is how long is waited after a connection could not be accepted.
const acceptPause = 200 * time.Millisecond

// pause waits a little. It reports false after close.
func (i *inherited) pause() bool {
	timer := time.NewTimer(acceptPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-i.over:
		return false
	}
}

// borrow makes a listener of it, which its Close gives back.
func (i *inherited) borrow() net.Listener {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.loan = &loan{owner: i, conns: make(chan net.Conn), over: make(chan struct{})}
	return i.loan
}

// loan is a net.Listener for as long as a port is in use.
type loan struct {
	owner *inherited
	conns chan net.Conn
	over  chan struct{} // closed by Close
	once  sync.Once
}

// hand passes a connection on, unless the loan is over.
func (l *loan) hand(conn net.Conn) bool {
	select {
	case l.conns <- conn:
		return true
	case <-l.over:
		return false
	}
}

func (l *loan) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.over:
		return nil, net.ErrClosed
	}
}

func (l *loan) Close() error {
	l.once.Do(func() {
		l.owner.mu.Lock()
		defer l.owner.mu.Unlock()
		if l.owner.loan == l {
			l.owner.loan = nil
		}
		close(l.over)
	})
	return nil
}

func (l *loan) Addr() net.Addr { return l.owner.listener.Addr() }
