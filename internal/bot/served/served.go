// Package served looks at what TLS servers show after a certificate has been renewed: a server that was not
// told, or did not listen, goes on with the old one until that expires, and nobody notices before.
//
// Servers are strangers here. One certificate of a handshake is read from each, nothing is sent to it, and time
// and number of connections are bounded.
package served

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Target is a server to look at under one name.
type Target struct {
	Address string // host and port
	Name    string // what is asked for (SNI); "" asks for nothing, as for addresses
	// Required means that the server must show the certificate. Others may not be there, or serve other names.
	Required bool
}

// Verdict says what a server shows.
type Verdict string

// The verdicts.
const (
	Same    Verdict = "same"    // the certificate that it should
	Other   Verdict = "other"   // another one for this name
	Foreign Verdict = "foreign" // one for other names: this name is not served there
	Closed  Verdict = "closed"  // nobody listens there
	Failed  Verdict = "failed"  // it came to no certificate
)

// Finding is what was seen at one target.
type Finding struct {
	Target
	Verdict Verdict
	Serial  string // of what is shown, in hexadecimal; "" without
	Err     error  // why it is Closed or Failed
}

// Wrong reports whether the finding needs somebody to look after it.
func (f Finding) Wrong() bool {
	return f.Verdict == Other || f.Required && f.Verdict != Same
}

func (f Finding) String() string {
	where := f.Address
	if f.Name != "" {
		where += " (" + f.Name + ")"
	}
	switch f.Verdict {
	case Same:
		return where + " shows the new certificate"
	case Other:
		return fmt.Sprintf("%s still shows another certificate, with serial number %s", where, f.Serial)
	case Foreign:
		return fmt.Sprintf("%s shows a certificate for other names, with serial number %s", where, f.Serial)
	default:
		return fmt.Sprintf("%s shows no certificate: %v", where, f.Err)
	}
}

// Config says what to look for, and how patiently.
type Config struct {
	Leaf    *x509.Certificate // what should be shown
	Targets []Target
	// Tries is how often to look while something is wrong, since servers take a moment to reload; 0 is 5.
	// Pause is between two of them; 0 is two seconds. Timeout is for one connection; 0 is five seconds.
	Tries          int
	Pause, Timeout time.Duration
	// Dial connects; nil is the system's way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// maxTargets bounds what one certificate with many names can cause; atOnce how many connections there are at a time.
const (
	maxTargets = 64
	atOnce     = 8
)

// Check looks at the targets, again while something is wrong. It gives one finding for each, of the last look.
func Check(ctx context.Context, c Config) []Finding {
	if c.Tries == 0 {
		c.Tries = 5
	}
	if c.Pause == 0 {
		c.Pause = 2 * time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	targets := c.Targets[:min(len(c.Targets), maxTargets)]
	findings := make([]Finding, len(targets))
	todo := make([]int, len(targets))
	for i := range targets {
		todo[i] = i
	}
	for try := 1; ; try++ {
		c.look(ctx, targets, todo, findings)
		var wrong []int
		for _, i := range todo {
			if findings[i].Wrong() {
				wrong = append(wrong, i)
			}
		}
		if todo = wrong; len(todo) == 0 || try == c.Tries || !sleep(ctx, c.Pause) {
			return findings
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// look fills in the findings that todo names.
func (c *Config) look(ctx context.Context, targets []Target, todo []int, findings []Finding) {
	var group sync.WaitGroup
	tickets := make(chan struct{}, atOnce)
	for _, i := range todo {
		tickets <- struct{}{}
		group.Go(func() {
			defer func() { <-tickets }()
			findings[i] = c.one(ctx, targets[i])
		})
	}
	group.Wait()
}

// one looks at one target. A server may have a second certificate for the name, with another kind of key,
// which it prefers: it is asked for the right kind, then.
func (c *Config) one(ctx context.Context, t Target) Finding {
	f := c.shake(ctx, t, &tls.Config{})
	if f.Verdict != Other {
		return f
	}
	suites := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
	if c.Leaf.PublicKeyAlgorithm == x509.RSA {
		suites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256}
	}
	// Only TLS 1.2 lets a client here choose. Where a server does not speak it, what was seen first counts.
	if second := c.shake(ctx, t, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: suites}); second.Verdict == Same {
		return second
	}
	return f
}

// shake shakes hands, whoever it is: whom to trust is not the question.
func (c *Config) shake(ctx context.Context, t Target, config *tls.Config) Finding {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	conn, err := c.Dial(ctx, "tcp", t.Address)
	if err != nil {
		return Finding{Target: t, Verdict: Closed, Err: err}
	}
	defer conn.Close()
	config.ServerName, config.InsecureSkipVerify, config.MinVersion = t.Name, true, tls.VersionTLS12
	client := tls.Client(conn, config)
	if err := client.HandshakeContext(ctx); err != nil {
		return Finding{Target: t, Verdict: Failed, Err: err}
	}
	certificates := client.ConnectionState().PeerCertificates
	if len(certificates) == 0 {
		return Finding{Target: t, Verdict: Failed, Err: errors.New("the server has none")}
	}
	return c.judge(t, certificates[0])
}

// judge compares what is shown with what should be.
func (c *Config) judge(t Target, shown *x509.Certificate) Finding {
	f := Finding{Target: t, Verdict: Foreign, Serial: shown.SerialNumber.Text(16)}
	name := t.Name
	if name == "" {
		if host, _, err := net.SplitHostPort(t.Address); err == nil {
			name = host
		}
	}
	switch {
	case shown.Equal(c.Leaf):
		f.Verdict = Same
	case shown.VerifyHostname(name) == nil:
		f.Verdict = Other
	}
	return f
}

// maxAddresses is how many addresses of one machine are looked at.
const maxAddresses = 8

// Here lists where servers of this machine may listen for the names of a certificate: at its own addresses,
// which interfaces has. Wildcards are left out, as nobody can be asked for one.
func Here(leaf *x509.Certificate, port int, interfaces []net.Addr) []Target {
	addresses := []string{"127.0.0.1", "::1"}
	for _, a := range interfaces {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || len(addresses) == maxAddresses {
			continue
		}
		if addr := prefix.Addr(); addr.IsGlobalUnicast() {
			addresses = append(addresses, addr.String())
		}
	}
	var targets []Target
	for _, name := range leaf.DNSNames {
		if strings.HasPrefix(name, "*.") {
			continue
		}
		for _, address := range addresses {
			targets = append(targets, Target{Address: net.JoinHostPort(address, strconv.Itoa(port)), Name: name})
		}
	}
	for _, ip := range leaf.IPAddresses {
		targets = append(targets, Target{Address: net.JoinHostPort(ip.String(), strconv.Itoa(port))})
	}
	return targets
}

// Parse reads an address as an operator gives it, HOST:PORT, for a certificate. It is asked for HOST where that is
// one of the certificate's names, and for each of its names otherwise.
func Parse(text string, leaf *x509.Certificate) ([]Target, error) {
	host, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || host == "" {
		return nil, fmt.Errorf("%q is not HOST:PORT, such as mail.example.com:993", text)
	}
	if leaf.VerifyHostname(host) == nil {
		if net.ParseIP(host) != nil {
			return []Target{{Address: text, Required: true}}, nil
		}
		return []Target{{Address: text, Name: host, Required: true}}, nil
	}
	var targets []Target
	for _, name := range leaf.DNSNames {
		if !strings.HasPrefix(name, "*.") {
			targets = append(targets, Target{Address: text, Name: name, Required: true})
		}
	}
	if len(targets) == 0 {
		targets = []Target{{Address: text, Required: true}}
	}
	return targets, nil
}
