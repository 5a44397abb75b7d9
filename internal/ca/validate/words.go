package validate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/cairn-ca/cairn/acme"
)

// The functions here put failures into words for the client. They never pass on
// the text of an error: those of net/http quote what the server sent.

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &netErr) && netErr.Timeout()
}

// isTransient reports whether a failure is worth another try: nothing came in
// time, or nobody was there. Whatever was said is final.
func isTransient(err error) bool { return isTimeout(err) || errors.Is(err, syscall.ECONNREFUSED) }

// temporary is a problem that may be gone at the next try.
type temporary struct{ problem *acme.Problem }

func (t temporary) Error() string { return t.problem.Error() }

func (t temporary) Unwrap() error { return t.problem }

// since marks a problem as temporary if what caused it is transient.
func since(cause error, problem *acme.Problem) error {
	if isTransient(cause) {
		return temporary{problem}
	}
	return problem
}

// isOwnFault reports whether a connection failed for want of something on this machine.
func isOwnFault(err error) bool {
	for _, own := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, own) {
			return true
		}
	}
	return false
}

// tellDial says why no connection was made to target.
func tellDial(target netip.AddrPort, err error) string {
	what := "connection failed at"
	switch {
	case isTimeout(err):
		what = "no answer from"
	case errors.Is(err, syscall.ECONNREFUSED):
		what = "connection refused at"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		what = "no route to"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		what = "the authority's own firewall forbids connections to"
	}
	return fmt.Sprintf("%s %s port %d", what, target.Addr(), target.Port())
}

// tellTLS says why a TLS handshake failed.
func tellTLS(err error) string {
	var alert *net.OpError // crypto/tls wraps the alerts it receives so
	var record tls.RecordHeaderError
	switch {
	case isTimeout(err):
		return "the TLS handshake was not finished in time"
	case errors.As(err, &record):
		return "what answers there does not speak TLS"
	case errors.As(err, &alert) && alert.Op == "remote error":
		// The alert is a number; its text comes from a table of crypto/tls.
		return "the server ended the TLS handshake with the alert " + strings.TrimPrefix(alert.Err.Error(), "tls: ")
	case isClosed(err):
		return "the server closed the connection during the TLS handshake"
	default:
		return "the TLS handshake failed"
	}
}

// tellHTTP says why a page could not be had, to follow where it should have been.
func tellHTTP(err error) string {
	switch {
	case isTimeout(err):
		return "did not finish its answer in time"
	case isClosed(err):
		return "closed the connection before its answer was whole"
	case errors.Is(err, errLongHeader):
		return fmt.Sprintf("sent more than %d octets of header", maxHeader)
	default:
		return "did not answer in proper HTTP"
	}
}

func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
