// Package rpc carries calls between roles: typed JSON over HTTP. Who may call is
// decided by what the HTTP runs on: mutual TLS between machines, or a socket
// that only its owner can open.
//
// It knows nothing of what the calls mean. A method is a name, a request and a
// response; Handle serves one, Call makes one.
package rpc

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/trace"
)

// maxMessage bounds a request and a response, in octets. The largest is the
// evidence of many validations.
const maxMessage int64 = 8 << 20

const mediaType = "application/json"

// Refusal is an error whose text is for the caller: what was wrong with the
// request. Any other error of a method reaches the caller as "internal error",
// and the log of the callee as a whole.
type Refusal struct {
	Code   string // for the caller's program, where it tells refusals apart; "" for none
	Reason string // for people
}

func (r *Refusal) Error() string { return r.Reason }

// Refuse makes a Refusal.
func Refuse(format string, args ...any) error {
	return &Refusal{Reason: fmt.Sprintf(format, args...)}
}

// Server serves methods. The zero value has none and logs nothing.
type Server struct {
	Log   *slog.Logger  // nil means none
	Trace *trace.Tracer // nil means none
	// Admit says whether a peer may still call, for each call anew: a host that was removed keeps its certificate,
	// and maybe its connection. An error that is no *Refusal means that it cannot be told. nil admits all.
	Admit func(ctx context.Context, peer Peer, key [sha256.Size]byte) error

	mux http.ServeMux
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		r = r.WithContext(context.WithValue(r.Context(), callerKey{}, r.TLS.PeerCertificates[0]))
	}
	s.mux.ServeHTTP(w, r)
}

// callerKey is the key of the caller's certificate in a call's context.
type callerKey struct{}

// PeerFrom is who makes the call that a method was given ctx for, and the KeyHash of its certificate. The
// connection was verified by an Identity's ServerConfig, the only one here that asks callers for a certificate.
func PeerFrom(ctx context.Context) (peer Peer, key [sha256.Size]byte, ok bool) {
	certificate, ok := ctx.Value(callerKey{}).(*x509.Certificate)
	if !ok {
		return Peer{}, key, false
	}
	peer, err := PeerOf(certificate)
	return peer, KeyHash(certificate), err == nil
}

// Method says how a method is served.
type Method struct {
	Name  string   // a path segment
	Roles []string // who may call; nil means whoever reaches the server
	Limit int64    // of a request, in octets; 0 means 8 MiB
}

// Handle has a server call do for every request to method, whoever it comes from. Request and
// Response are encoded as JSON; members that Request does not have are ignored, since a newer role may be calling.
func Handle[Request, Response any](s *Server, method string, do func(context.Context, Request) (Response, error)) {
	HandleMethod(s, Method{Name: method}, do)
}

// HandleMethod is Handle for those that m names, who are looked at before anything that they sent.
func HandleMethod[Request, Response any](s *Server, m Method, do func(context.Context, Request) (Response, error)) {
	limit := cmp.Or(m.Limit, maxMessage)
	s.mux.HandleFunc("POST /"+m.Name, func(w http.ResponseWriter, r *http.Request) {
		if err := s.permit(r.Context(), m); err != nil {
			s.fail(r.Context(), w, m.Name, err)
			return
		}
		var request Request
		if err := readMessage(r.Header.Get("Content-Type"), http.MaxBytesReader(w, r.Body, limit), limit, &request); err != nil {
			answer(w, http.StatusBadRequest, failure{Reason: "the request cannot be read: " + err.Error()})
			return
		}
		ctx, span := s.Trace.Start(trace.Extract(r.Context(), r.Header), "call "+m.Name)
		response, err := do(ctx, request)
		span.End(err)
		if err != nil {
			s.fail(r.Context(), w, m.Name, err)
			return
		}
		answer(w, http.StatusOK, response)
	})
}

// CodeForbidden is the code of a refusal of the caller, not of what it asked for.
const CodeForbidden = "forbidden"

// permit says why a call of m is not for whom it comes from.
func (s *Server) permit(ctx context.Context, m Method) error {
	peer, key, known := PeerFrom(ctx)
	if m.Roles != nil && (!known || !slices.Contains(m.Roles, peer.Role)) {
		return &Refusal{Code: CodeForbidden, Reason: fmt.Sprintf("the role %q may not call %s", peer.Role, m.Name)}
	}
	if known && s.Admit != nil {
		return s.Admit(ctx, peer, key)
	}
	return nil
}

// fail answers a call that did not succeed.
func (s *Server) fail(ctx context.Context, w http.ResponseWriter, method string, err error) {
	var refusal *Refusal
	var problem *acme.Problem
	switch {
	case errors.As(err, &refusal):
		answer(w, http.StatusUnprocessableEntity, failure{Code: refusal.Code, Reason: refusal.Reason})
	case errors.As(err, &problem):
		answer(w, http.StatusUnprocessableEntity, failure{Reason: problem.Detail})
	default:
		if s.Log != nil && ctx.Err() == nil {
			s.Log.Error("call failed", "method", method, "error", err)
		}
		answer(w, http.StatusInternalServerError, failure{Reason: "internal error"})
	}
}

// failure is the body of an answer other than 200.
type failure struct {
	Code   string `json:"code,omitempty"`
	Reason string `json:"reason"`
}

func answer(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"reason":"the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(status)
	_, _ = w.Write(data) // a caller who has gone needs no answer
}

// Client calls the methods of one server. URL has no trailing slash. HTTP is
// required: its transport decides whom one talks to.
type Client struct {
	URL   string
	HTTP  *http.Client
	Limit int64 // of an answer, in octets; 0 means 8 MiB
}

// Call calls method. It fails with a *Refusal where the other side did not like
// the request; any other error says nothing about the request, and the call may
// or may not have been carried out.
func Call[Request, Response any](ctx context.Context, c Client, method string, request Request) (response Response, err error) {
	data, err := json.Marshal(request)
	if err != nil {
		return response, fmt.Errorf("encoding the call %s: %w", method, err)
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+"/"+method, bytes.NewReader(data))
	if err != nil {
		return response, fmt.Errorf("calling %s: %w", method, err)
	}
	post.Header.Set("Content-Type", mediaType)
	trace.Inject(ctx, post.Header)
	reply, err := c.HTTP.Do(post)
	if err != nil {
		return response, fmt.Errorf("calling %s: %w", method, err)
	}
	defer reply.Body.Close()
	limit := cmp.Or(c.Limit, maxMessage)
	body := io.LimitReader(reply.Body, limit+1)
	if reply.StatusCode == http.StatusOK {
		if err := readMessage(reply.Header.Get("Content-Type"), body, limit, &response); err != nil {
			return response, fmt.Errorf("calling %s: the answer cannot be read: %w", method, err)
		}
		return response, nil
	}
	var why failure
	if err := readMessage(reply.Header.Get("Content-Type"), body, limit, &why); err != nil {
		why.Reason = "no reason given"
	}
	if reply.StatusCode == http.StatusUnprocessableEntity {
		return response, &Refusal{Code: why.Code, Reason: why.Reason}
	}
	return response, fmt.Errorf("calling %s: %s: %.512q", method, reply.Status, why.Reason)
}

// readMessage reads one JSON value of at most limit octets and nothing after it. What it says is wrong
// says nothing of how we keep things.
func readMessage(contentType string, body io.Reader, limit int64, into any) error {
	if kind, _, err := mime.ParseMediaType(contentType); err != nil || kind != mediaType {
		return fmt.Errorf("its media type is not %s", mediaType)
	}
	data, err := io.ReadAll(body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return fmt.Errorf("it is larger than %d octets", large.Limit)
	case err != nil:
		return err
	case int64(len(data)) > limit:
		return fmt.Errorf("it is larger than %d octets", limit)
	}
	var wrong *json.UnmarshalTypeError
	if err := json.Unmarshal(data, into); errors.As(err, &wrong) {
		return fmt.Errorf("a JSON %s is not expected at %q", wrong.Value, wrong.Field)
	} else if err != nil {
		return errors.New("it is not one JSON value")
	}
	return nil
}
