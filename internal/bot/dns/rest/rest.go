// Package rest makes one request to the HTTP interface of a DNS service at a time. What
// all clients need is here: limits on time and size, patience where a service is busy, errors that
// say what to do, and no credential in any of them.
//
// The service is trusted with its own credentials, and with nothing else: no redirection is followed, so they
// go to the one server that was named, and over TLS, unless that server is this machine.
package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Limits. Lists of zones are the largest answers that are read: a page of 1,000 zones has less than 1 MB.
const (
	maxBody  = 4 << 20
	attempts = 5                // of a request that a busy service refuses
	maxPause = 60 * time.Second // for which a service may send us away with Retry-After
	timeout  = 60 * time.Second // of one attempt
)

// Config is what requests to one service have in common.
type Config struct {
	Service string       // as people call it, for errors
	Base    string       // the address that paths are added to
	HTTP    *http.Client // nil means http.DefaultClient
	// Authorize puts the credentials into a request. The body is what will be sent.
	Authorize func(request *http.Request, body []byte) error
	// Plain allows a Base without TLS on another machine. Only what has no secrets, and link-local metadata
	// services, which have no TLS, may say so.
	Plain bool
	// Direct keeps requests from a proxy: for services that exist once on each machine, as those of metadata do.
	Direct bool
	// Hint says what to do when the credentials are refused, which depends on the service.
	Hint string
	// Message finds the service's own words in the body of an error. nil looks for the usual members of JSON.
	Message func(body []byte) string
	// Busy recognizes a refusal for load that has a status of its own. nil knows none but 429 and 503.
	Busy func(Answer) bool
}

// Client speaks with one service. It can be used by several goroutines at once.
type Client struct {
	config Config
	base   *url.URL
	client *http.Client
}

// New checks the address.
func New(config Config) (*Client, error) {
	base, err := url.Parse(strings.TrimSuffix(config.Base, "/"))
	if err != nil || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("%s: %.200q is not the address of a service: it begins with https:// and has neither user nor query", config.Service, redact(config.Base))
	}
	if base.Scheme != "https" && (base.Scheme != "http" || !config.Plain && !loopback(base.Hostname())) {
		return nil, fmt.Errorf("%s: %.200s would carry credentials through the network in the clear: use https", config.Service, base)
	}
	client := config.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	still := *client // the caller's is not changed
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if still.Timeout == 0 || still.Timeout > timeout {
		still.Timeout = timeout
	}
	if config.Direct {
		still.Transport = direct(still.Transport)
	}
	return &Client{config: config, base: base, client: &still}, nil
}

// direct is the same transport, without a proxy.
func direct(transport http.RoundTripper) http.RoundTripper {
	if transport == nil {
		transport = http.DefaultTransport
	}
	if usual, ok := transport.(*http.Transport); ok {
		usual = usual.Clone()
		usual.Proxy = nil
		return usual
	}
	return transport
}

// redact leaves a user and a password out of an address that is shown.
func redact(address string) string {
	if at := strings.LastIndex(address, "@"); at >= 0 {
		return "…" + address[at:]
	}
	return address
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Request is one call. All of its parts are escaped where they are put.
type Request struct {
	Method string   // "" means GET
	Path   []string // segments, none of which can become two
	Query  url.Values
	// RawQuery is sent as it is, for services whose query is no list of names and values.
	RawQuery string
	Header   http.Header
	JSON     any        // sent as the body
	Form     url.Values // the same, as a form
	Body     []byte     // the same, with its type in Header
	// Accept lists statuses beyond 2xx that are no error. Their bodies are not read.
	Accept []int
}

// Answer is what a service said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// JSON sends a request and reads the answer into into, unless that is nil, or the status is one of Accept.
func (c *Client) JSON(ctx context.Context, request Request, into any) (Answer, error) {
	return c.read(ctx, request, into, json.Unmarshal)
}

// XML does the same with XML.
func (c *Client) XML(ctx context.Context, request Request, into any) (Answer, error) {
	return c.read(ctx, request, into, xml.Unmarshal)
}

func (c *Client) read(ctx context.Context, request Request, into any, unmarshal func([]byte, any) error) (Answer, error) {
	answer, err := c.Do(ctx, request)
	if err != nil || into == nil || answer.Status > 299 || answer.Status == http.StatusNoContent {
		return answer, err
	}
	if err := unmarshal(answer.Body, into); err != nil {
		// The error of a decoder can have a piece of the answer in it, and that can be a token.
		return answer, fmt.Errorf("%s: the answer to %s %s cannot be read: is %s the right address?", c.config.Service, request.method(), c.place(request), c.base.Host)
	}
	return answer, nil
}

// Do sends a request, again where the service is too busy for it, and returns its answer. A status
// that is neither 2xx nor in request.Accept is an *Error.
func (c *Client) Do(ctx context.Context, request Request) (Answer, error) {
	for try := 1; ; try++ {
		answer, err := c.once(ctx, request)
		pause, again := c.again(request, answer, err, try)
		if !again {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// again says whether a request is repeated, and after which pause. A request that was refused
// for load was not carried out. After anything else only one that changes nothing is repeated.
func (c *Client) again(request Request, answer Answer, err error, try int) (time.Duration, bool) {
	if err == nil || try >= attempts {
		return 0, false
	}
	refused := answer.Status == http.StatusTooManyRequests || answer.Status == http.StatusServiceUnavailable ||
		c.config.Busy != nil && answer.Status != 0 && c.config.Busy(answer)
	var network net.Error
	lost := request.method() == http.MethodGet && (answer.Status >= 500 || errors.As(err, &network))
	if !refused && !lost {
		return 0, false
	}
	pause := time.Second<<(try-1) + rand.N(time.Second/2)
	if text := answer.Header.Get("Retry-After"); text != "" {
		if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
			pause = time.Duration(min(seconds, int(maxPause/time.Second)+1)) * time.Second
		}
	}
	return pause, pause <= maxPause
}

// once sends a request.
func (c *Client) once(ctx context.Context, request Request) (Answer, error) {
	message, err := c.build(ctx, request)
	if err != nil {
		return Answer{}, fmt.Errorf("%s: %w", c.config.Service, err)
	}
	response, err := c.client.Do(message)
	if err != nil {
		var wrapped *url.Error // its text has the address, and an address can have a token in its query
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return Answer{}, fmt.Errorf("%s: %s %s: no answer from %s: %w", c.config.Service, request.method(), c.place(request), c.base.Host, err)
	}
	defer response.Body.Close()
	answer := Answer{Status: response.StatusCode, Header: response.Header}
	answer.Body, err = io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	switch {
	case err != nil:
		return answer, fmt.Errorf("%s: %s %s: reading the answer: %w", c.config.Service, request.method(), c.place(request), err)
	case len(answer.Body) > maxBody:
		return answer, fmt.Errorf("%s: %s %s: the answer is larger than %d MB, which is not what this service sends", c.config.Service, request.method(), c.place(request), maxBody>>20)
	case answer.Status >= 200 && answer.Status < 300 || accepted(request, answer.Status):
		return answer, nil
	}
	return answer, c.refusal(request, answer)
}

func accepted(request Request, status int) bool {
	for _, accept := range request.Accept {
		if accept == status {
			return true
		}
	}
	return false
}

// build makes the message.
func (c *Client) build(ctx context.Context, request Request) (*http.Request, error) {
	body, kind := request.Body, ""
	switch {
	case request.JSON != nil:
		var err error
		if body, err = json.Marshal(request.JSON); err != nil {
			return nil, err
		}
		kind = "application/json"
	case request.Form != nil:
		body, kind = []byte(request.Form.Encode()), "application/x-www-form-urlencoded"
	}
	message, err := http.NewRequestWithContext(ctx, request.method(), c.address(request), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		message.Body, message.GetBody, message.ContentLength = http.NoBody, nil, 0
	}
	if kind != "" {
		message.Header.Set("Content-Type", kind)
	}
	message.Header.Set("Accept", "*/*")
	message.Header.Set("User-Agent", "cairnbot")
	for name, values := range request.Header {
		message.Header[name] = values
	}
	if c.config.Authorize == nil {
		return message, nil
	}
	return message, c.config.Authorize(message, body)
}

func (r Request) method() string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

// address joins what is asked for to the base.
func (c *Client) address(request Request) string {
	var b strings.Builder
	b.WriteString(c.base.String())
	b.WriteString(c.place(request))
	if request.RawQuery != "" {
		b.WriteString("?" + request.RawQuery)
	} else if len(request.Query) > 0 {
		b.WriteByte('?')
		// Spaces as %20, which those who sign requests need, and everybody understands.
		b.WriteString(strings.ReplaceAll(request.Query.Encode(), "+", "%20"))
	}
	return b.String()
}

// place is the path, escaped. Queries are no part of it, and so not of errors.
func (c *Client) place(request Request) string {
	var b strings.Builder
	for _, segment := range request.Path {
		b.WriteByte('/')
		escaped := url.PathEscape(segment)
		if escaped == "." || escaped == ".." {
			escaped = strings.ReplaceAll(escaped, ".", "%2E")
		}
		b.WriteString(escaped)
	}
	return b.String()
}
