package acme

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ErrNoRenewalInfo says that a server does not tell when certificates are best renewed.
var ErrNoRenewalInfo = errors.New("the server offers no renewal information (RFC 9773)")

// RenewalInfo asks when the certificate with that identifier is best renewed (RFC 9773 §4.1), and in how long to
// ask again, which is 0 where the server does not say. It needs no account, and asks once: who asks every few
// hours anyway has no use for a second try. A window that cannot be meant is ErrUnreadable.
func (c *Client) RenewalInfo(ctx context.Context, id CertID) (*RenewalInfo, time.Duration, error) {
	directory, err := c.Directory(ctx)
	if err != nil {
		return nil, 0, err
	}
	if directory.RenewalInfo == "" {
		return nil, 0, ErrNoRenewalInfo
	}
	if err := c.checkURL(directory.RenewalInfo); err != nil {
		return nil, 0, fmt.Errorf("%w: renewalInfo: %w", ErrNoDirectory, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(directory.RenewalInfo, "/")+"/"+id.String(), nil)
	if err != nil {
		return nil, 0, err
	}
	info := new(RenewalInfo)
	answer, err := c.exchange(request)
	if err == nil {
		err = answer.decode(info)
	}
	if err == nil {
		err = info.check()
	}
	var after time.Duration
	if answer != nil {
		after = answer.retryAfter()
	}
	if err != nil {
		return nil, after, fmt.Errorf("asking when to renew: %w", err)
	}
	return info, after, nil
}

// check refuses a window that is none, and cleans what people will see.
func (r *RenewalInfo) check() error {
	window := r.SuggestedWindow
	switch {
	case window.Start.IsZero() || window.End.IsZero():
		return fmt.Errorf("%w: the suggested window lacks its start or its end", ErrUnreadable)
	case !window.End.After(window.Start): // RFC 9773 §4.2
		return fmt.Errorf("%w: the suggested window ends at %s, before it starts at %s", ErrUnreadable,
			window.End.Format(time.RFC3339), window.Start.Format(time.RFC3339))
	}
	r.ExplanationURL = printable(r.ExplanationURL)
	if u, err := url.Parse(r.ExplanationURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || len(r.ExplanationURL) > maxExplanation {
		r.ExplanationURL = "" // it is for people to visit, and this is nothing to visit
	}
	return nil
}

// maxExplanation is more than browsers take.
const maxExplanation = 2048
