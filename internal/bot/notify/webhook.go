package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Webhook sends an event as JSON in a POST.
type Webhook struct {
	URL    string
	Secret []byte // signs what is sent; none for no signature
	// Timeout is for one request; 0 means 15 seconds.
	Timeout time.Duration
	HTTP    *http.Client // nil is one with the system's trust; redirects are never followed
}

// The headers of a signed request. The signature is the HMAC with SHA-256, in hexadecimal, of the time, a dot, and the body.
const (
	SignatureHeader = "X-Cairnbot-Signature" // "sha256=…"
	TimeHeader      = "X-Cairnbot-Time"      // in seconds since 1970
	defaultTimeout  = 15 * time.Second
	maxAnswer       = 64 << 10
)

// Check says what is wrong with the URL.
func (w *Webhook) Check() error {
	u, err := url.Parse(w.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return fmt.Errorf("%q is not the URL of a webhook, such as https://hooks.example.org/cairn", redact(w.URL))
	}
	return nil
}

// redact leaves out what of an URL may be a secret: the user, and everything after the host.
func redact(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "the given text"
	}
	return u.Scheme + "://" + u.Host + "/…"
}

// Name is the host, and a hash of what may be secret of the URL.
func (w *Webhook) Name() string {
	sum := sha256.Sum256([]byte(w.URL))
	return "webhook " + redact(w.URL) + " " + hex.EncodeToString(sum[:4])
}

// Send posts the event. Any answer but 2xx is an error.
func (w *Webhook) Send(ctx context.Context, event Event) error {
	timeout := w.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	body, err := json.Marshal(event)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("the URL cannot be used")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "cairnbot")
	if len(w.Secret) > 0 {
		at := strconv.FormatInt(time.Now().Unix(), 10)
		request.Header.Set(TimeHeader, at)
		request.Header.Set(SignatureHeader, "sha256="+Sign(w.Secret, at, body))
	}
	client := http.Client{}
	if w.HTTP != nil {
		client = *w.HTTP
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) { // its text has the whole URL
			err = wrapped.Err
		}
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer)) // so that the connection can serve the next one
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("the answer is %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	}
	return nil
}

// Sign computes what SignatureHeader has after "sha256=".
func Sign(secret []byte, at string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(at + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
