package acme

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
)

const (
	// maxBody bounds an answer: an order of a hundred names is 30 KiB, a long chain 10 KiB.
	maxBody = 1 << 20
	// maxNonceTries is how often a request is signed anew after badNonce. Pebble refuses one nonce in twenty on
	// purpose, and most of them where it is told to; forty in a row are a broken server.
	maxNonceTries = 40
)

// signed is a request before it is signed.
type signed struct {
	url      string        // exactly as the server gave it (RFC 8555 §6.4)
	payload  any           // nil for POST-as-GET
	key      crypto.Signer // nil for the account's
	embedKey bool          // name the key by itself instead of by the account's URL
	accept   string        // a media type, or ""
}

// answer is a response, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) location() string { return a.header.Get("Location") }

// retryAfter is how long the server asks to wait; 0 if it does not (RFC 9110 §10.2.3).
func (a *answer) retryAfter() time.Duration {
	return parseRetryAfter(a.header.Get("Retry-After"), time.Now())
}

// ErrUnreadable says that an answer of a server is not of the form that RFC 8555 prescribes.
var ErrUnreadable = errors.New("the server's answer cannot be understood")

// decode reads the JSON object in a into result. Members that result does not have are ignored.
func (a *answer) decode(result any) error {
	if result == nil {
		return nil
	}
	if err := a.expect(MediaJSON); err != nil {
		return err
	}
	if err := json.Unmarshal(a.body, result); err != nil {
		return fmt.Errorf("%w: it is not the JSON that was expected: %w", ErrUnreadable, err)
	}
	return nil
}

// expect checks the media type of a.
func (a *answer) expect(media string) error {
	got := a.header.Get("Content-Type")
	if parsed, _, err := mime.ParseMediaType(got); err != nil || parsed != media {
		return fmt.Errorf("%w: it is of type %.64q where %s was expected", ErrUnreadable, got, media)
	}
	return nil
}

// call sends a signed request and decodes the answer into result, if that is not nil.
func (c *Client) call(ctx context.Context, r signed, result any) (*answer, error) {
	answer, err := c.post(ctx, r)
	if err != nil {
		return nil, err
	}
	return answer, answer.decode(result)
}

// read fetches a resource by POST-as-GET, which may be done again when it fails for a passing reason.
func (c *Client) read(ctx context.Context, url string, result any) error {
	return c.retry(ctx, func() error {
		_, err := c.call(ctx, signed{url: url}, result)
		return err
	})
}

// post signs and sends r. A badNonce answer means that r was not looked at, so
// it is signed again with the nonce that came with the answer (RFC 8555 §6.5).
// After any other failure it is not known what the server did, and that is the caller's affair.
func (c *Client) post(ctx context.Context, r signed) (*answer, error) {
	var payload []byte
	if r.payload != nil {
		var err error
		if payload, err = json.Marshal(r.payload); err != nil {
			return nil, fmt.Errorf("encoding a request: %w", err)
		}
	}
	nonce, err := c.nonce(ctx)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		request, err := c.sign(ctx, r, payload, nonce)
		if err != nil {
			return nil, err
		}
		answer, err := c.exchange(request)
		if answer == nil {
			return nil, err
		}
		nonce = answer.header.Get("Replay-Nonce")
		var problem *Problem
		if !errors.As(err, &problem) || problem.Type != TypeBadNonce || try == maxNonceTries {
			c.nonces.put(nonce)
			return answer, err
		}
		if !validNonce(nonce) {
			if nonce, err = c.newNonce(ctx); err != nil {
				return nil, err
			}
		}
	}
}

// sign makes the one HTTP request that spends nonce.
func (c *Client) sign(ctx context.Context, r signed, payload []byte, nonce string) (*http.Request, error) {
	if err := c.checkURL(r.url); err != nil {
		return nil, err
	}
	header := Header{Nonce: nonce, URL: r.url}
	key := r.key
	if key == nil {
		key = c.config.Key
	}
	if key == nil {
		return nil, errors.New("signing a request: this client has no account key")
	}
	if r.embedKey {
		public, err := NewKey(key.Public())
		if err != nil {
			return nil, err
		}
		header.Key = public
	} else if header.KeyID = c.AccountURL(); header.KeyID == "" {
		return nil, errors.New("the account's URL is not known: register first")
	}
	body, err := SignJWS(key, header, payload)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", MediaJOSE)
	if r.accept != "" {
		request.Header.Set("Accept", r.accept)
	}
	return request, nil
}

// get fetches a resource without authentication, as only the directory is (RFC 8555 §6.3).
func (c *Client) get(ctx context.Context, url string, result any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := c.exchange(request)
	if err != nil {
		return err
	}
	return answer.decode(result)
}

// exchange sends one request, once, and reads the answer. One of 4xx or 5xx is
// returned together with the *Problem that it stands for.
func (c *Client) exchange(request *http.Request) (*answer, error) {
	if c.config.UserAgent != "" {
		request.Header.Set("User-Agent", c.config.UserAgent) // RFC 8555 §6.1
	}
	request.Header.Set("Accept-Language", "en") // the language of the rest of the output (RFC 8555 §6.1)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", request.URL, err)
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("the answer of %s is longer than %d bytes", request.URL, maxBody)
	}
	a := &answer{status: response.StatusCode, header: response.Header, body: body}
	switch {
	case a.status >= 200 && a.status < 300:
		return a, nil
	case a.status < 400:
		return nil, fmt.Errorf("%s redirects a %s request to %.256q, which a signed request must not follow",
			request.URL, request.Method, a.location())
	default:
		return a, a.problem(request)
	}
}
