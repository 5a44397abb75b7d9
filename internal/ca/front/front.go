// Package front is the door: RFC 8555 over HTTP. A request is authenticated
// (request.go), then a handler loads what it is about, lets package rules decide,
// and saves the outcome; wire.go turns records into what a client sees.
//
// What an attacker who controls a front can do: read what clients send and are
// sent, act for the accounts whose requests pass through it by changing rows of
// the database, and lie to clients. It holds no key of the CA and proves nothing.
package front

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/load"
	"github.com/cairn-ca/cairn/internal/ca/metrics"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/trace"
)

// Worker takes up at once what a request made due. It is a hint: whatever is not
// taken up so, because a process ended in between, is found by its lapsed lease.
// All methods may be called concurrently and must not block.
type Worker interface {
	// Lease is for work that this process starts at now.
	Lease(now time.Time) rules.Lease
	// Validate takes up a's validation, which is saved. The channel yields a as it is once that is
	// settled, if this is known here, and is closed then.
	Validate(a rules.Authz) <-chan rules.Authz
	// Issue takes up o, which is saved and processing and has csr. The channel yields o as it is once it is
	// valid or invalid, if this is known here, and is closed then.
	Issue(o rules.Order, csr rules.CSR) <-chan rules.Ended
}

// Config says what a Front serves. DB, Worker, Policy, URL, OwnHost, Chains, Issuer and Log are required.
type Config struct {
	DB     *store.DB
	Worker Worker
	Policy rules.Policy
	// Issuing is for which names the newest issuer issues, and until when; nil means as Policy says.
	Issuing func() (acme.Subtrees, time.Time)
	// URL is the CA's https://host[:port], for requests whose Host is none of its own.
	URL string
	// OwnHost reports whether host, without a port, is one of the CA's names or addresses.
	OwnHost func(host string) bool
	// Chains gives what can stand above a certificate, the default first (RFC 8555 §7.4.2).
	Chains func(rules.Certificate) []Chain
	// Issuer finds the ID of the issuer whose certificate has a subject key identifier.
	Issuer func(keyID []byte) (id string, ok bool)
	// LinkKey signs links for people; nil means one that ends with this process.
	LinkKey []byte
	// ExternalKeys are MAC keys for external account bindings, by their IDs, beside those in the
	// store: they bind any number of accounts, for all names (RFC 8555 §7.3.4).
	ExternalKeys map[string][]byte
	// CAAIdentities is what the directory says that CAA records name this CA by; nil means those of the policy.
	CAAIdentities []string
	// Paths says where the resources are; what is empty is where every CA has it.
	Paths Paths
	// Manners is what a server for tests does otherwise.
	Manners Manners
	// Limits are the rate limits that are on; nil for none.
	Limits rules.Limits
	// Peers are the other fronts of the same authority, which redeem the nonces that they made; nil for none.
	Peers Peers
	// Page answers GET of "/", "/root.pem" and "/root.der"; nil for none.
	Page http.Handler
	// How long a response waits for the outcome of what it started; 0 means 200 ms and 5 s.
	ChallengeWait, FinalizeWait time.Duration
	Log                         *slog.Logger
	Metrics                     *metrics.Metrics // nil counts nothing
	Trace                       *trace.Tracer    // nil traces nothing
	// Backlog is for how long validations or issuances have been waiting for their turn; nil for not at all.
	Backlog func() time.Duration
}

// maxWaiting bounds how many requests wait for an outcome at once. Beyond it,
// answers come at once and say "processing", which costs the client a poll.
const maxWaiting = 256

// Front answers ACME requests. It may be used concurrently.
type Front struct {
	Config
	nonces    *nonces
	redeeming chan struct{} // one element for each nonce that another front is asked about
	waiting   chan struct{} // one element for each request that waits
	resources []resource
	grease    string // a member of the directory that means nothing
	floods    *floods
	known     *knownAccounts
	ended     endedOrders
	progress  load.Gauge        // requests that have not been answered
	unknown   *metrics.Resource // counts those to what there is not
	instance  string            // in the identifiers of requests
	numbers   atomic.Uint64     // of requests
}

// New checks c and makes a Front of it.
func New(c Config) (*Front, error) {
	if c.DB == nil || c.Worker == nil || c.OwnHost == nil || c.Chains == nil || c.Issuer == nil || c.Log == nil || len(c.Policy.Profiles) == 0 {
		return nil, errors.New("a front needs a store, a worker, a policy with a profile, its own names, chains, issuers and a log")
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || c.URL != "https://"+u.Host {
		return nil, fmt.Errorf("the CA's address %q is not of the form https://host[:port]", c.URL)
	}
	c.Paths = c.Paths.orStandard()
	if c.ChallengeWait == 0 {
		c.ChallengeWait = 200 * time.Millisecond
	}
	if c.LinkKey == nil {
		c.LinkKey = []byte(rand.Text())
	}
	if c.FinalizeWait == 0 {
		c.FinalizeWait = 5 * time.Second
	}
	n, err := newNonces()
	if err != nil {
		return nil, err
	}
	f := &Front{Config: c, nonces: n, waiting: make(chan struct{}, maxWaiting), redeeming: make(chan struct{}, maxRedeeming), grease: newGrease(), known: &knownAccounts{db: c.DB}}
	f.floods = newFloods(c.Limits[rules.Floods])
	f.resources = f.routes()
	f.unknown, f.instance = c.Metrics.Resource("other"), rand.Text()[:8]
	for i, r := range f.resources {
		f.resources[i].counted = c.Metrics.Resource(r.path)
	}
	return f, nil
}

// policy is the operator's, with what is true of the issuer of the moment.
func (f *Front) policy() rules.Policy {
	p := f.Policy
	if f.Issuing != nil {
		p.Names, p.IssuerEnd = f.Issuing()
	}
	return p
}

// resource is one kind of resource (RFC 8555 §7.1) and who may ask it for what.
// What a request without a signature gets is in get alone: the other handlers take
// values that only authentication makes.
type resource struct {
	path      string   // "*" stands for an identifier, "*.*" for that of a certificate (RFC 9773 §4.1)
	segments  []string // of path
	query     bool     // whether its URLs have a query
	begins    bool     // whether a request begins something new, so that it is put off first
	counted   *metrics.Resource
	get       func(*http.Request, base) reply
	public    func(*visit) (reply, error)                          // like get, for what is in the store
	byAccount func(context.Context, accountRequest) (reply, error) // signed by an account ("kid")
	byKey     func(context.Context, keyRequest) (reply, error)     // signed by a key ("jwk"; RFC 8555 §6.2)
}

// routes lists everything there is. RFC 8555 §6.3: only the directory and newNonce answer
// GET; RFC 9773 §4.1: so does the renewal information, and nothing else.
func (f *Front) routes() []resource {
	at := f.Paths
	list := []resource{
		{path: at.Directory, get: f.directory, byAccount: f.directoryByPost},
		{path: at.NewNonce, get: f.newNonce, byAccount: f.newNonceByPost},
		{path: at.NewAccount, byKey: f.newAccount, begins: true},
		{path: at.Account, byAccount: f.account},
		{path: at.Orders, byAccount: f.orders, query: true},
		{path: at.Limits, byAccount: f.accountLimits},
		{path: at.KeyChange, byAccount: f.keyChange},
		{path: at.NewAuthz, byAccount: f.newAuthorization, begins: true},
		{path: at.NewOrder, byAccount: f.newOrder, begins: true},
		{path: at.Order, byAccount: f.order},
		{path: at.Finalize, byAccount: f.finalize},
		{path: at.Authz, byAccount: f.authorization},
		{path: at.Challenge, byAccount: f.challenge},
		{path: at.Certificate, byAccount: f.certificate},
		{path: at.Alternate, byAccount: f.alternate},
		{path: at.Alternate + "/issuer", byAccount: f.certificateIssuer},
		{path: at.RenewalInfo + "/*.*", public: f.renewalInfo},
		{path: at.RevokeCert, byAccount: f.revokeByAccount, byKey: f.revokeByKey},
	}
	for i := range list {
		list[i].segments = strings.Split(list[i].path, "/")
	}
	return list
}

// find returns the resource that a URL is of, and the identifiers in its path.
// A URL that differs from the one given to clients, if only in its encoding, is none (RFC 8555 §6.4).
func (f *Front) find(u *url.URL) (*resource, []string) {
	path, ok := strings.CutPrefix(u.EscapedPath(), "/")
	if !ok {
		return nil, nil
	}
	segments := strings.Split(path, "/")
	for i := range f.resources {
		r := &f.resources[i]
		if ids, ok := match(r.segments, segments); ok && (r.query || u.RawQuery == "" || r.get != nil) {
			return r, ids
		}
	}
	return nil, nil
}

// maxCertID is more than the identifier of any certificate has (RFC 9773 §4.1).
const maxCertID = 128

func match(pattern, segments []string) (ids []string, ok bool) {
	if len(pattern) != len(segments) {
		return nil, false
	}
	for i, want := range pattern {
		switch {
		case want == "*" && acme.ValidToken(segments[i]), want == "*.*" && strings.Contains(segments[i], ".") && len(segments[i]) <= maxCertID:
			ids = append(ids, segments[i])
		case want != segments[i]:
			return nil, false
		}
	}
	return ids, true
}

// isPage reports whether a request is for people: the one page and the root that it links to.
func (f *Front) isPage(r *http.Request) bool {
	if f.Page == nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	return r.URL.Path == "/" || r.URL.Path == "/root.pem" || r.URL.Path == "/root.der"
}

// visit is one HTTP request on its way through the front.
type visit struct {
	*http.Request
	w        http.ResponseWriter
	base     base
	resource *resource
	ids      []string
	account  string // its ID, once authenticated; for the log
	number   uint64 // of the request; for the log
	span     trace.Span
}

// ServeHTTP answers one request.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if wait := f.floods.take(clientOf(r)); wait > 0 {
		f.Metrics.Limited(rules.Floods)
		floodReply(w, wait)
		return
	}
	if page := f.limitsPage(r); page != nil {
		page(w, r)
		return
	}
	switch {
	case f.isPage(r):
		f.Page.ServeHTTP(w, r)
		return
	case f.isAgreement(r):
		f.serveAgreement(w, r)
		return
	}
	began := time.Now()
	v := &visit{Request: r, w: w, base: f.baseFor(r), number: f.numbers.Add(1)}
	v.resource, v.ids = f.find(r.URL)
	f.setHeaders(v)
	f.trace(v)
	answer, err := f.answer(v)
	if err == nil {
		err = f.write(v, answer)
	}
	var problem *acme.Problem
	if err != nil {
		problem = f.problemOf(v, err)
		if f.Manners.Retell != nil {
			problem = f.Manners.Retell(problem)
		}
		answer = problemReply(problem)
		if err := f.write(v, answer); err != nil {
			f.Log.LogAttrs(v.Context(), slog.LevelError, "writing a problem failed", append(f.subject(v), slog.Any("error", err))...)
		}
	}
	f.logVisit(v, answer, problem, time.Since(began))
}

// answer decides what becomes of a request before anything in it is read.
func (f *Front) answer(v *visit) (reply, error) {
	switch {
	case v.TLS == nil: // RFC 8555 §6.1
		return reply{}, acme.Problemf(acme.TypeMalformed, "ACME is spoken over HTTPS only: use %s", v.base.directory())
	case v.resource == nil:
		return reply{}, notFound("there is no such resource: begin at %s", v.base.directory())
	}
	entry, problem := f.enter(v)
	if problem != nil {
		return reply{}, problem
	}
	defer f.leave(entry)
	if problem := f.before(v); problem != nil {
		return reply{}, problem
	}
	switch {
	case v.Method == http.MethodOptions:
		v.w.Header().Set("Allow", v.resource.methods())
		return reply{status: http.StatusNoContent}, nil
	case v.Method == http.MethodPost && v.resource.public == nil:
		return f.authenticate(v)
	case v.resource.get != nil && (v.Method == http.MethodGet || v.Method == http.MethodHead):
		return v.resource.get(v.Request, v.base), nil
	case v.resource.public != nil && (v.Method == http.MethodGet || v.Method == http.MethodHead):
		return v.resource.public(v)
	default:
		v.w.Header().Set("Allow", v.resource.methods()) // RFC 9110 §15.5.6
		how := "send a signed POST, or a POST-as-GET to read (RFC 8555 §6.3)"
		if v.resource.public != nil {
			how = "send a GET (RFC 9773 §4.1)"
		}
		return reply{}, acme.Problemf(acme.TypeMalformed, "%.16q is not possible here: %s", v.Method, how).
			WithStatus(http.StatusMethodNotAllowed)
	}
}

// methods lists what a resource answers to, as the Allow header has it (RFC 9110 §10.2.1).
func (r *resource) methods() string {
	switch {
	case r.get != nil:
		return "GET, HEAD, POST, OPTIONS"
	case r.public != nil:
		return "GET, HEAD, OPTIONS"
	}
	return "POST, OPTIONS"
}

// setHeaders sets what every response carries, whatever becomes of the request.
func (f *Front) setHeaders(v *visit) {
	h := v.w.Header()
	// RFC 8555 §6.1: scripts of any origin may speak ACME, since nothing here depends on cookies.
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "Link, Location, RateLimit, RateLimit-Policy, Replay-Nonce, Retry-After")
	h.Set("Cache-Control", "no-store") // RFC 8555 §7.2 for newNonce; the rest is nobody else's business
	h.Set("X-Content-Type-Options", "nosniff")
	if v.Method == http.MethodPost { // RFC 8555 §6.5: errors too
		h.Set("Replay-Nonce", f.nonces.issue())
	}
	if v.resource == nil {
		h.Add("Link", link(v.base.directory(), "index"))
		return
	}
	if v.resource.path != f.Paths.Directory { // RFC 8555 §7.1
		h.Add("Link", link(v.base.directory(), "index"))
	}
	if v.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", v.resource.methods())
		h.Set("Access-Control-Allow-Headers", "Content-Type, Accept, Accept-Language")
		h.Set("Access-Control-Max-Age", "86400")
	}
}

// detailForLog is the detail of a problem without the token of a link in it, which lets whoever has it do something.
func detailForLog(problem *acme.Problem) string {
	page, token, _ := strings.Cut(problem.Instance, "?")
	if token == "" {
		return problem.Detail
	}
	return strings.ReplaceAll(problem.Detail, problem.Instance, page)
}

// logVisit writes one line: what was asked, by whom, and what came of it. No key and no token is in it.
func (f *Front) logVisit(v *visit, answer reply, problem *acme.Problem, took time.Duration) {
	f.count(v, answer, problem, took)
	level, message := slog.LevelDebug, "request answered"
	if problem != nil {
		level, message = slog.LevelInfo, "request refused"
	}
	if !f.Log.Enabled(v.Context(), level) {
		return
	}
	attributes := []slog.Attr{slog.String("method", v.Method), slog.Int("status", answer.status),
		slog.Duration("took", took), slog.String("client", v.RemoteAddr)}
	if answer.location != "" { // what was made, or found
		attributes = append(attributes, slog.String("location", answer.location))
	}
	if problem != nil {
		attributes = append(attributes, slog.String("type", problem.Type.Name()), slog.String("detail", detailForLog(problem)))
	}
	f.Log.LogAttrs(v.Context(), level, message, append(f.subject(v), attributes...)...)
}
