package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// maxDirectory bounds the directory, which a stranger may send.
const maxDirectory = 256 << 10

// authority looks at the CA: whether it is there, who it is, what time it has, and what it wants.
func (d *doctor) authority(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeout(ctx, d.config.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.config.Server, nil)
	if err != nil {
		return []Finding{{Check: "directory", Level: Error, Text: err.Error(), Remedy: "give the URL of the CA's directory with --server"}}
	}
	client := d.config.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	sent := d.config.Now()
	response, err := client.Do(request)
	if err != nil {
		return []Finding{d.unreachable(err)}
	}
	defer response.Body.Close()
	var findings []Finding
	if clock := d.clock(response.Header.Get("Date"), sent, d.config.Now()); clock != nil {
		findings = append(findings, *clock)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDirectory))
	var directory acme.Directory
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("it answers %s", response.Status)
	}
	if err == nil {
		err = json.Unmarshal(body, &directory)
	}
	if err == nil && (directory.NewOrder == "" || directory.NewNonce == "") {
		err = errors.New("it has no newOrder")
	}
	if err != nil {
		return append(findings, Finding{Check: "directory", Level: Error, Text: fmt.Sprintf("%s is not the directory of an ACME server: %v", d.config.Server, err),
			Remedy: "--server takes the URL of the CA's directory, such as https://ca.internal:8443/directory"})
	}
	d.known = true
	if directory.Meta != nil {
		d.meta = *directory.Meta
	}
	findings = append(findings, Finding{Check: "directory", Level: OK, Text: d.config.Server + " answers" + believed(response.TLS)})
	return append(findings, d.account()...)
}

// believed says by which certificate the CA is believed, and until when.
func believed(state *tls.ConnectionState) string {
	if state == nil || len(state.PeerCertificates) == 0 {
		return ""
	}
	leaf := state.PeerCertificates[0]
	return fmt.Sprintf(", with a certificate from %q that is good until %s", leaf.Issuer.CommonName, leaf.NotAfter.UTC().Format(time.DateOnly))
}

// unreachable says why the CA was not reached, and what to do about it.
func (d *doctor) unreachable(err error) Finding {
	f := Finding{Check: "directory", Level: Error, Text: fmt.Sprintf("%s cannot be reached: %v", d.config.Server, err)}
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var wrong x509.HostnameError
	var lookup *net.DNSError
	switch {
	case errors.As(err, &unknown):
		f.Check, f.Remedy = "tls", "if it is a CA of your own, give its root certificate with --ca-bundle FILE; otherwise somebody stands between you and the CA"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		f.Check, f.Remedy = "tls", fmt.Sprintf("the CA's certificate is not good at this machine's time (%s): is the clock right?", stamp(d.config.Now()))
	case errors.As(err, &wrong):
		f.Check, f.Remedy = "tls", "give --server with the name that the CA's certificate is for"
	case errors.As(err, &lookup):
		f.Remedy = "is the name in --server right, and does DNS work on this machine?"
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, context.DeadlineExceeded):
		f.Remedy = "is the CA running, and does a firewall here, or a proxy (HTTPS_PROXY), keep the way to it closed?"
	default:
		f.Remedy = "look at the network between this machine and the CA"
	}
	return f
}

// How wrong a clock may be. CAs make certificates good from an hour ago, and browsers are less patient.
const (
	clockWarning = time.Minute
	clockError   = time.Hour
)

// clock compares the time here with that of the CA, which the answer was written at between two moments.
func (d *doctor) clock(date string, before, after time.Time) *Finding {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return nil
	}
	wrong := time.Duration(0)
	switch { // the header has whole seconds
	case theirs.Add(time.Second).Before(before):
		wrong = before.Sub(theirs)
	case theirs.After(after.Add(time.Second)):
		wrong = theirs.Sub(after)
	}
	f := Finding{Check: "clock", Level: OK, Text: "this machine's clock agrees with the CA's"}
	if wrong >= clockWarning {
		f = Finding{Check: "clock", Level: Warning, Text: fmt.Sprintf("this machine's clock is wrong by %s: it is %s here, and %s at the CA", wrong.Round(time.Second), stamp(after), stamp(theirs)),
			Remedy: "set the clock, such as with timedatectl set-ntp true"}
	}
	if wrong >= clockError {
		f.Level = Error
	}
	return &f
}

// account looks at what the CA wants before it knows somebody.
func (d *doctor) account() []Finding {
	a := d.config.Account
	if a.URL != "" {
		return []Finding{{Check: "account", Level: OK, Text: "there is an account: " + a.URL}}
	}
	var findings []Finding
	switch {
	case d.meta.ExternalAccountRequired && !a.Binding:
		findings = append(findings, Finding{Check: "account", Level: Error, Text: "the CA registers only whom it has given a key (external account binding), and none is given",
			Remedy: "get one from the CA, and give it with --eab-kid ID and --eab-hmac-key KEY"})
	case d.meta.ExternalAccountRequired:
		findings = append(findings, Finding{Check: "account", Level: OK, Text: "the CA wants an external account binding, and a key for it is given"})
	default:
		findings = append(findings, Finding{Check: "account", Level: OK, Text: "there is no account yet: one is made with the first certificate"})
	}
	if d.meta.TermsOfService != "" && !a.Agreed {
		findings = append(findings, Finding{Check: "account", Level: Note, Text: "the CA has terms of service, to which you will have to agree: " + d.meta.TermsOfService,
			Remedy: "read them, and say --agree-tos"})
	}
	return findings
}

// profiles looks whether the CA has the profile that is asked for.
func (d *doctor) profiles(s Subject) []Finding {
	if !d.known {
		return nil
	}
	offered := strings.Join(slices.Sorted(maps.Keys(d.meta.Profiles)), ", ")
	if offered == "" {
		offered = "none"
	}
	check := func(profile string, missing Level, remedy string) []Finding {
		if profile == "" {
			return nil
		}
		if d.meta.HasProfile(profile) {
			return []Finding{{Check: "profile", Level: OK, Text: "the CA has the profile " + profile}}
		}
		return []Finding{{Check: "profile", Level: missing, Text: fmt.Sprintf("the CA has no profile %q; it has %s", profile, offered), Remedy: remedy}}
	}
	return append(check(s.RequiredProfile, Error, "choose one of these with --required-profile"),
		check(s.Profile, Warning, "the certificate will be of the CA's usual kind; choose one of these with --preferred-profile")...)
}
