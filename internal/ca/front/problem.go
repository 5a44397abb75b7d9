package front

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// reply is what a handler answers. Headers that every response has are not in it.
type reply struct {
	status     int
	nonce      bool // whether a GET is given one too
	location   string
	links      []string      // beyond the one to the directory
	retryAfter time.Duration // 0 for none
	vary       string        // the header of the request that the answer depends on
	mediaType  string        // of raw; "" means that body is sent, as JSON
	raw        []byte
	body       any // nil for none
}

// write sends a reply. An error means that nothing has been sent.
func (f *Front) write(v *visit, answer reply) error {
	data, mediaType := answer.raw, answer.mediaType
	if answer.body != nil {
		encoded, err := f.encode(answer.body)
		if err != nil {
			return fmt.Errorf("encoding an answer: %w", err)
		}
		data = encoded
		if mediaType == "" {
			mediaType = acme.MediaJSON
		}
	}
	h := v.w.Header()
	if answer.nonce && h.Get("Replay-Nonce") == "" {
		h.Set("Replay-Nonce", f.nonces.issue())
	}
	if answer.location != "" {
		h.Set("Location", answer.location)
	}
	for _, l := range answer.links {
		h.Add("Link", l)
	}
	if answer.retryAfter > 0 {
		h.Set("Retry-After", f.retryAfter(answer.retryAfter))
	}
	if answer.vary != "" {
		h.Set("Vary", answer.vary)
	}
	if mediaType != "" {
		h.Set("Content-Type", f.labelled(mediaType))
	}
	if answer.status != http.StatusNoContent {
		h.Set("Content-Length", strconv.Itoa(len(data)))
	}
	v.w.WriteHeader(answer.status)
	if v.Method != http.MethodHead {
		_, _ = v.w.Write(data) // a client that has gone needs no answer
	}
	return nil
}

// seconds is d in whole seconds, for a header.
func seconds(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }

// problemReply is the RFC 7807 document that a client is sent (RFC 8555 §6.7).
func problemReply(p *acme.Problem) reply {
	answer := reply{status: cmp.Or(p.Status, http.StatusBadRequest), location: p.Location, retryAfter: p.RetryAfter, mediaType: acme.MediaProblem, body: p}
	if p.Terms != "" { // RFC 8555 §7.3.3
		answer.links = append(answer.links, link(p.Terms, "terms-of-service"))
	}
	return answer
}

// busyPause is what a client is told to wait when the store has too much to do.
const busyPause = 5 * time.Second

// problemOf is what the client is told of err. What is none of its business goes to the log alone.
func (f *Front) problemOf(v *visit, err error) *acme.Problem {
	var problem *acme.Problem
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.Is(err, store.ErrBusy), errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrExists),
		errors.Is(err, context.DeadlineExceeded):
		f.Log.LogAttrs(v.Context(), slog.LevelWarn, "request put off", append(f.subject(v), slog.Any("error", err))...)
		busy := acme.Problemf(acme.TypeServerInternal, "the server is busy: send the request again in a moment").
			WithStatus(http.StatusServiceUnavailable)
		busy.RetryAfter = busyPause
		return busy
	case errors.Is(err, context.Canceled) && v.Context().Err() != nil:
		// Nobody reads this.
		return acme.Problemf(acme.TypeServerInternal, "the client has gone")
	default:
		f.Log.LogAttrs(v.Context(), slog.LevelError, "request failed", append(f.subject(v), slog.Any("error", err))...)
		return acme.Problemf(acme.TypeServerInternal, "internal error: try again later; the server's operator finds the reason in its log under request %s", f.requestID(v))
	}
}

// notFound is the problem of a URL behind which there is nothing. RFC 8555 has no type of its own for it.
func notFound(format string, args ...any) *acme.Problem {
	return acme.Problemf(acme.TypeMalformed, format, args...).WithStatus(http.StatusNotFound)
}

// notYours is the problem of an account that asks for what belongs to another one (RFC 8555 §10.5).
func notYours(what string) *acme.Problem {
	return acme.Problemf(acme.TypeUnauthorized, "this %s belongs to another account", what)
}
