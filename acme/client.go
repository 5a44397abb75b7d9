package acme

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// ClientConfig says whom a Client talks to, and as whom.
type ClientConfig struct {
	Directory  string        // the URL of the directory; https
	Key        crypto.Signer // the account's key; nil for a client that only reads the directory and RenewalInfo
	AccountURL string        // "" until Register has been called
	// HTTP makes the requests; its TLS configuration decides which servers are
	// believed. How it treats redirects is replaced. Nil is a client with a timeout.
	HTTP      *http.Client
	UserAgent string // RFC 8555 §6.1 asks for a name and a version
	// Tries is how often a request that changes nothing is made while it fails for a passing reason; 0 is three times.
	Tries int
	// PlainHTTP takes a directory at an http:// URL, against RFC 8555 §6.1, and what such a directory names. Whoever is on the
	// way can then pass for the server. Directories of this machine itself (loopback) are taken without it: servers for tests.
	PlainHTTP bool
}

// Client speaks ACME for one account of one server: nonces, signatures,
// POST-as-GET and polling. It decides nothing. It may be used concurrently.
//
// An answer that is an error of the server is returned as a *Problem, possibly wrapped.
type Client struct {
	config ClientConfig
	key    *Key
	http   *http.Client
	nonces nonces
	plain  bool // the directory is at an http:// URL

	mu        sync.Mutex
	directory *Directory // nil until fetched
	account   string     // the account's URL, or ""
}

// requestTimeout bounds one exchange where the caller's http.Client does not.
const requestTimeout = 45 * time.Second

// NewClient checks c and makes a Client of it. It does not use the network.
func NewClient(c ClientConfig) (*Client, error) {
	client := &Client{config: c, account: c.AccountURL, plain: strings.HasPrefix(strings.ToLower(c.Directory), "http://")}
	if err := client.checkURL(c.Directory); err != nil {
		return nil, fmt.Errorf("the directory's address: %w", err)
	}
	var key *Key
	if c.Key != nil {
		var err error
		if key, err = NewKey(c.Key.Public()); err != nil {
			return nil, fmt.Errorf("the account's key: %w", err)
		}
	}
	if c.Tries == 0 {
		client.config.Tries = maxTries
	}
	httpClient := http.Client{Timeout: requestTimeout}
	if c.HTTP != nil {
		httpClient = *c.HTTP
	}
	httpClient.CheckRedirect = client.checkRedirect
	client.key, client.http = key, &httpClient
	return client, nil
}

// ErrNotHTTPS says that a URL is none that RFC 8555 §6.1 allows.
var ErrNotHTTPS = errors.New("is not an https URL (RFC 8555 §6.1)")

// checkURL refuses what RFC 8555 §6.1 does not allow an ACME resource to be, but for ClientConfig.PlainHTTP. A server that
// is spoken to over TLS cannot send us anywhere else.
func (c *Client) checkURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return err
	case u.Scheme != "https" && !(u.Scheme == "http" && c.plain && (c.config.PlainHTTP || loopback(u.Hostname()))):
		return fmt.Errorf("%q %w", address, ErrNotHTTPS)
	case u.Host == "":
		return fmt.Errorf("%q has no host", address)
	}
	return nil
}

// loopback reports whether a host is this machine itself, whatever the DNS says (RFC 6761 §6.3).
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// maxRedirects is enough for a directory that has moved.
const maxRedirects = 3

// checkRedirect follows redirects of a GET only: a POST is signed for one URL (RFC 8555 §6.4).
func (c *Client) checkRedirect(next *http.Request, via []*http.Request) error {
	if via[0].Method != http.MethodGet {
		return http.ErrUseLastResponse
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return c.checkURL(next.URL.String())
}

// ErrNoDirectory says that what is at ClientConfig.Directory is something else.
var ErrNoDirectory = errors.New("that is not the directory of an ACME server")

// Directory returns the server's directory (RFC 8555 §7.1.1). It is fetched once.
func (c *Client) Directory(ctx context.Context) (*Directory, error) {
	c.mu.Lock()
	known := c.directory
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	directory := new(Directory)
	if err := c.retry(ctx, func() error { return c.get(ctx, c.config.Directory, directory) }); err != nil {
		if problem := new(Problem); errors.Is(err, ErrUnreadable) || errors.As(err, &problem) && problem.Status == http.StatusNotFound {
			err = fmt.Errorf("%w: %w", ErrNoDirectory, err)
		}
		return nil, fmt.Errorf("reading the directory %s: %w", c.config.Directory, err)
	}
	for name, address := range map[string]string{
		"newNonce":   directory.NewNonce,
		"newAccount": directory.NewAccount,
		"newOrder":   directory.NewOrder,
	} {
		if err := c.checkURL(address); err != nil {
			return nil, fmt.Errorf("reading the directory %s: %w: %s: %w", c.config.Directory, ErrNoDirectory, name, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.directory = directory
	return directory, nil
}

// AccountURL is the account's URL: its name in requests (RFC 8555 §6.2); "" if it is not known yet.
func (c *Client) AccountURL() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.account
}

// KeyAuthorization is what proves that this account answers the challenge with the given token (RFC 8555 §8.1).
func (c *Client) KeyAuthorization(token string) string {
	return KeyAuthorization(token, c.key.Thumbprint())
}

// Register makes an account, or finds the one that the key already has (RFC 8555
// §7.3, §7.3.1), and from then on uses it. With OnlyReturnExisting an unknown key
// is a Problem of type accountDoesNotExist.
func (c *Client) Register(ctx context.Context, request NewAccount) (*Account, error) {
	directory, err := c.Directory(ctx)
	if err != nil {
		return nil, err
	}
	account := new(Account)
	answer, err := c.call(ctx, signed{url: directory.NewAccount, embedKey: true, payload: request}, account)
	if err != nil {
		return nil, fmt.Errorf("registering an account: %w", err)
	}
	if err := c.checkURL(answer.location()); err != nil {
		return nil, fmt.Errorf("registering an account: the answer's Location: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.account = answer.location()
	return account, nil
}

// Account reads the account as the server has it (RFC 8555 §7.3).
func (c *Client) Account(ctx context.Context) (*Account, error) {
	account := new(Account)
	if err := c.read(ctx, c.AccountURL(), account); err != nil {
		return nil, fmt.Errorf("reading the account: %w", err)
	}
	return account, nil
}

// accountUpdate is the payload that changes an account (RFC 8555 §7.3.2). An empty list is sent, too: it removes what was there.
type accountUpdate struct {
	Contact []string `json:"contact"`
}

// SetContact puts contact, a list of URLs such as "mailto:you@example.org", in place of what the account has (RFC 8555 §7.3.2).
func (c *Client) SetContact(ctx context.Context, contact []string) (*Account, error) {
	if contact == nil {
		contact = []string{}
	}
	account := new(Account)
	if _, err := c.call(ctx, signed{url: c.AccountURL(), payload: accountUpdate{contact}}, account); err != nil {
		return nil, fmt.Errorf("changing the account's contact: %w", err)
	}
	return account, nil
}

// Thumbprint is that of the account's key (RFC 7638), the second half of its key authorizations.
func (c *Client) Thumbprint() string { return c.key.Thumbprint() }

// Deactivate ends the account for good (RFC 8555 §7.3.6).
func (c *Client) Deactivate(ctx context.Context) error {
	request := signed{url: c.AccountURL(), payload: Deactivation{Status: StatusDeactivated}}
	if _, err := c.call(ctx, request, new(Account)); err != nil {
		return fmt.Errorf("deactivating the account: %w", err)
	}
	return nil
}

// Post sends payload, encoded as JSON, in a request signed by the account; a nil
// payload makes a POST-as-GET (RFC 8555 §6.3). The answer is decoded into result
// unless that is nil. It is for resources that have no method of their own.
func (c *Client) Post(ctx context.Context, url string, payload, result any) (http.Header, error) {
	answer, err := c.call(ctx, signed{url: url, payload: payload}, result)
	if err != nil {
		return nil, err
	}
	return answer.header, nil
}
