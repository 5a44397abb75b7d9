// Package revoked finds out whether certificates have been revoked: from the OCSP server that a certificate names
// (RFC 6960), or else from the list (CRL, RFC 5280 §5) that it names.
//
// What comes back is a peer's. It is bounded, must be signed by the issuer or by whom it has appointed, and must be of today;
// anything else counts as not knowing. A peer can keep an answer back, and never make one.
package revoked

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ocsp"
)

// Status is what is known of a certificate.
type Status int

// The statuses.
const (
	Unknown Status = iota
	Good
	Revoked
)

// Certificate is one to ask about, with the one that certifies it.
type Certificate struct{ Leaf, Issuer *x509.Certificate }

// Config says how to ask. The zero value asks OCSP servers alone.
type Config struct {
	HTTP  *http.Client  // nil is a client without cookies and with few redirects
	Lists bool          // look into CRLs, too: they can be large
	Limit time.Duration // for all questions together; 0 is 5 s
	Log   *slog.Logger
}

// Bounds for what a peer sends.
const (
	maxAnswer = 64 << 10 // an OCSP answer with its certificates
	maxList   = 32 << 20 // Let's Encrypt's lists are of some hundred KiB, others' of some MiB
	maxAtOnce = 8
)

// Check asks about all certificates, several at once, and gives the answers in their order. One of which nothing is known in time
// is Unknown.
func Check(ctx context.Context, c Config, list []Certificate, now time.Time) []Status {
	if c.Limit == 0 {
		c.Limit = 5 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{CheckRedirect: fewRedirects}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Limit)
	defer cancel()
	ch := &checker{config: c, now: now, lists: make(map[string]*revocations)}
	statuses := make([]Status, len(list))
	slots := make(chan struct{}, maxAtOnce)
	var wait sync.WaitGroup
	for i, certificate := range list {
		if !ch.asks(certificate) {
			continue
		}
		wait.Add(1)
		go func() {
			defer wait.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			status, err := ch.check(ctx, certificate)
			if err != nil {
				c.Log.Info("it is not known whether a certificate is revoked", "serial", fmt.Sprintf("%x", certificate.Leaf.SerialNumber), "error", err)
			}
			statuses[i] = status
		}()
	}
	wait.Wait()
	return statuses
}

// maxRedirects is enough for a server that has moved.
const maxRedirects = 3

func fewRedirects(_ *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return nil
}

type checker struct {
	config Config
	now    time.Time

	mu    sync.Mutex // guards lists
	lists map[string]*revocations
}

// revocations is one CRL, which many certificates may name and which is fetched once.
type revocations struct {
	once sync.Once
	crl  *x509.RevocationList
	err  error
}

// asks reports whether there is anybody to ask. What has expired, no CA remembers.
func (c *checker) asks(certificate Certificate) bool {
	leaf := certificate.Leaf
	if leaf == nil || certificate.Issuer == nil || !leaf.NotAfter.After(c.now) {
		return false
	}
	return len(leaf.OCSPServer) > 0 || c.config.Lists && len(leaf.CRLDistributionPoints) > 0
}

func (c *checker) check(ctx context.Context, certificate Certificate) (Status, error) {
	var failed error
	if len(certificate.Leaf.OCSPServer) > 0 {
		status, err := c.ask(ctx, certificate)
		if err == nil {
			return status, nil
		}
		failed = err
	}
	if c.config.Lists && len(certificate.Leaf.CRLDistributionPoints) > 0 {
		status, err := c.lookUp(ctx, certificate)
		if err == nil {
			return status, nil
		}
		failed = errors.Join(failed, err)
	}
	return Unknown, failed
}

// ask asks the first OCSP server of a certificate.
func (c *checker) ask(ctx context.Context, certificate Certificate) (Status, error) {
	question, err := ocsp.CreateRequest(certificate.Leaf, certificate.Issuer, nil)
	if err != nil {
		return Unknown, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, certificate.Leaf.OCSPServer[0], bytes.NewReader(question))
	if err != nil {
		return Unknown, err
	}
	request.Header.Set("Content-Type", "application/ocsp-request")
	answer, err := c.fetch(request, maxAnswer)
	if err != nil {
		return Unknown, fmt.Errorf("asking an OCSP server: %w", err)
	}
	response, err := ocsp.ParseResponseForCert(answer, certificate.Leaf, certificate.Issuer) // checks the signature
	if err != nil {
		return Unknown, fmt.Errorf("reading an OCSP answer: %w", err)
	}
	if err := c.authorized(response.Certificate, certificate.Issuer); err != nil {
		return Unknown, fmt.Errorf("an OCSP answer: %w", err)
	}
	if err := c.fresh(response.ThisUpdate, response.NextUpdate); err != nil {
		return Unknown, fmt.Errorf("an OCSP answer: %w", err)
	}
	switch response.Status {
	case ocsp.Good:
		return Good, nil
	case ocsp.Revoked:
		return Revoked, nil
	}
	return Unknown, nil
}

// authorized refuses an answer that the issuer has not let its signer give (RFC 6960 §4.2.2.2). That the issuer has certified
// the signer was looked at before, and is not enough: it has certified everybody who got a certificate from it.
func (c *checker) authorized(signer, issuer *x509.Certificate) error {
	switch {
	case signer == nil, signer.Equal(issuer):
		return nil // the issuer itself
	case !slices.Contains(signer.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return errors.New("it is signed with a certificate that is not for signing such answers")
	}
	return c.fresh(signer.NotBefore, signer.NotAfter)
}

// skew is by how much clocks may differ.
const skew = 10 * time.Minute

// fresh refuses what is not of now: an old answer may have been true once (RFC 6960 §4.2.2.1).
func (c *checker) fresh(from, until time.Time) error {
	if from.After(c.now.Add(skew)) || !until.IsZero() && until.Before(c.now.Add(-skew)) {
		return fmt.Errorf("it is for %s to %s", from.UTC().Format(time.RFC3339), until.UTC().Format(time.RFC3339))
	}
	return nil
}

// lookUp looks for a certificate in the list that it names.
func (c *checker) lookUp(ctx context.Context, certificate Certificate) (Status, error) {
	url := certificate.Leaf.CRLDistributionPoints[0]
	key := url + string(certificate.Issuer.Raw)
	c.mu.Lock()
	one := c.lists[key]
	if one == nil {
		one = new(revocations)
		c.lists[key] = one
	}
	c.mu.Unlock()
	one.once.Do(func() { one.crl, one.err = c.fetchList(ctx, url, certificate.Issuer) })
	if one.err != nil {
		return Unknown, one.err
	}
	revoked := slices.ContainsFunc(one.crl.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool {
		return e.SerialNumber.Cmp(certificate.Leaf.SerialNumber) == 0
	})
	if revoked {
		return Revoked, nil
	}
	return Good, nil
}

func (c *checker) fetchList(ctx context.Context, url string, issuer *x509.Certificate) (*x509.RevocationList, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	text, err := c.fetch(request, maxList)
	if err != nil {
		return nil, fmt.Errorf("fetching a list of revoked certificates: %w", err)
	}
	crl, err := x509.ParseRevocationList(text)
	if err == nil {
		err = crl.CheckSignatureFrom(issuer)
	}
	if err == nil {
		err = c.fresh(crl.ThisUpdate, crl.NextUpdate)
	}
	if err != nil {
		return nil, fmt.Errorf("the list of revoked certificates at %s: %w", url, err)
	}
	return crl, nil
}

// fetch sends a request and reads the answer, of at most limit bytes.
func (c *checker) fetch(request *http.Request, limit int64) ([]byte, error) {
	if !strings.HasPrefix(request.URL.Scheme, "http") {
		return nil, fmt.Errorf("%q is not an HTTP address", request.URL)
	}
	response, err := c.config.HTTP.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", request.URL, response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("the answer of %s is longer than %d bytes", request.URL, limit)
	}
	return text, err
}
