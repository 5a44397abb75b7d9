package validate_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// The tests here run Debian's knot, which holds zones, and unbound, which resolves and validates,
// as processes of their own on ports of 127.0.0.1. scripts/test-needs installs them.

// realDNS is a resolver and the zones behind it.
type realDNS struct {
	knot       string // HOST:PORT of the server that holds the zones
	plain      string // of unbound, over UDP and TCP
	tls, https string // of the same unbound; its certificate is for 127.0.0.1 and example.com
	roots      *x509.CertPool
}

// zones are those that knot serves, without their SOA and NS records. What is
// signed verifies with the keys that unbound trusts, unless the name says otherwise.
var zones = map[string]string{
	"signed.test": `@ A 10.0.0.1
@ CAA 0 issue "ca.example"
www CNAME @
out CNAME a.plain.test.
_acme-challenge TXT "` + acme.DNS01Value(keyAuth) + `"
shut CAA 0 issue ";"
`,
	"expired.test": `@ A 10.0.0.2
@ CAA 0 issue "ca.example"
first TXT "x"
_acme-challenge TXT "` + acme.DNS01Value(keyAuth) + `"
`,
	"tampered.test": `@ A 10.0.0.3
`,
	"plain.test": `@ A 10.0.0.4
a A 10.0.0.5
one CNAME two
two CNAME a
in CNAME www.signed.test.
ring CNAME ring2
ring2 CNAME ring
sub DNAME plain.test.
_acme-challenge TXT "` + acme.DNS01Value(keyAuth) + `"
` + manyTXT("big", 60),
}

func manyTXT(name string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s TXT \"%03d%s\"\n", name, i, strings.Repeat("y", 200))
	}
	return b.String()
}

// unboundConf takes the directory, and the ports for UDP and TCP, for TLS and for HTTPS.
const unboundConf = `server:
  directory: %[1]q
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: ""
  verbosity: 1
  do-not-query-localhost: no
  interface: 127.0.0.1@%[2]d
  interface: 127.0.0.1@%[3]d
  interface: 127.0.0.1@%[4]d
  tls-port: %[3]d
  https-port: %[4]d
  tls-service-key: %[1]s/key.pem
  tls-service-pem: %[1]s/cert.pem
  module-config: "validator iterator"
  ede: yes
  num-threads: 1
  val-sig-skew-min: 0
  val-sig-skew-max: 0
  local-zone: "test." nodefault
`

// newRealDNS starts the servers once for the whole test.
func newRealDNS(t *testing.T) realDNS {
	t.Helper()
	dir := t.TempDir()
	ports := freePorts(t, 4)
	at := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	d := realDNS{knot: at(0), plain: at(1), tls: "tls://" + at(2), https: "https://" + at(3) + "/dns-query", roots: x509.NewCertPool()}
	anchors := writeZones(t, dir)
	var config strings.Builder
	fmt.Fprintf(&config, "server:\n  rundir: %s\n  listen: 127.0.0.1@%d\n", dir, ports[0])
	fmt.Fprintf(&config, "database:\n  storage: %s/db\nlog:\n- target: stderr\n  any: info\ntemplate:\n- id: default\n  storage: %s\n  file: %%s.zone\nzone:\n", dir, dir)
	for zone := range zones {
		fmt.Fprintf(&config, "- domain: %s\n", zone)
	}
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeTo(t, dir, "knot.conf", config.String())
	start(t, "server started", "knotd", "-c", filepath.Join(dir, "knot.conf"))

	certificate, key, root := serverCertificate(t)
	d.roots.AddCert(root)
	writeTo(t, dir, "cert.pem", certificate)
	writeTo(t, dir, "key.pem", key)
	config.Reset()
	fmt.Fprintf(&config, unboundConf, dir, ports[1], ports[2], ports[3])
	for _, anchor := range anchors {
		fmt.Fprintf(&config, "  trust-anchor: %q\n", anchor)
	}
	config.WriteString("remote-control:\n  control-enable: no\n")
	for zone := range zones {
		fmt.Fprintf(&config, "stub-zone:\n  name: %q\n  stub-addr: 127.0.0.1@%d\n", zone, ports[0])
	}
	// The top itself, so that nothing leaves this machine.
	config.WriteString("auth-zone:\n  name: \".\"\n  for-upstream: yes\n  for-downstream: no\n  zonefile: root.zone\n")
	writeTo(t, dir, "root.zone", ". 3600 IN SOA a. b. 1 3600 600 86400 60\n. 3600 IN NS a.\na. 3600 IN A 127.0.0.1\n")
	writeTo(t, dir, "unbound.conf", config.String())
	start(t, "start of service", "unbound", "-d", "-c", filepath.Join(dir, "unbound.conf"))
	return d
}

// writeZones writes the zones, signs those that are to be signed, and returns the DS records to trust.
func writeZones(t *testing.T, dir string) (anchors []string) {
	t.Helper()
	for zone, records := range zones {
		file := zone + ".zone"
		writeTo(t, dir, file, fmt.Sprintf("$ORIGIN %s.\n$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n%s", zone, records))
		if zone == "plain.test" {
			continue
		}
		key := strings.TrimSpace(run(t, dir, "ldns-keygen", "-a", "ECDSAP256SHA256", "-k", zone))
		ds, err := os.ReadFile(filepath.Join(dir, key+".ds"))
		if err != nil {
			t.Fatal(err)
		}
		anchors = append(anchors, strings.Join(strings.Fields(string(ds)), " "))
		signed := sign(t, dir, file, key)
		switch zone {
		case "tampered.test":
			signed = strings.ReplaceAll(signed, "10.0.0.3", "10.6.6.6")
		case "expired.test": // but for its keys, so that a server can say what is wrong
			past := sign(t, dir, file, key, "-i", "20200101000000", "-e", "20200201000000")
			signed = grep(signed, false) + grep(past, true)
		}
		writeTo(t, dir, file, signed)
	}
	return anchors
}

// sign returns the zone in file with signatures.
func sign(t *testing.T, dir, file, key string, options ...string) string {
	t.Helper()
	run(t, dir, "ldns-signzone", append(options, "-f", file+".signed", file, key)...)
	signed, err := os.ReadFile(filepath.Join(dir, file+".signed"))
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

// grep returns the signatures of A, CAA and TXT records, or everything else.
func grep(zone string, signatures bool) string {
	var b strings.Builder
	for line := range strings.Lines(zone) {
		fields := strings.Fields(line)
		is := len(fields) > 4 && fields[3] == "RRSIG" && (fields[4] == "A" || fields[4] == "CAA" || fields[4] == "TXT")
		if is == signatures {
			b.WriteString(line)
		}
	}
	return b.String()
}

func writeTo(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s%s", program, args, err, out, errs.Bytes())
	}
	return string(out)
}

// start starts a server and waits until it says that it is ready.
func start(t *testing.T, ready, program string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		path = filepath.Join("/usr/sbin", program) // which an ordinary user's PATH mostly leaves out
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, args...)
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = writer, writer, 10*time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said lines
	up, ended := make(chan struct{}), make(chan error, 1)
	go said.read(reader, ready, up)
	go func() { err := cmd.Wait(); writer.Close(); ended <- err; close(ended) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", program, said.String())
		}
	})
	select {
	case <-up:
	case err := <-ended:
		t.Fatalf("%s ended: %v\n%s", program, err, said.String())
	case <-time.After(30 * time.Second):
		t.Fatalf("%s is not ready:\n%s", program, said.String())
	}
}

// lines are what a program has said.
type lines struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (l *lines) read(from io.Reader, ready string, up chan<- struct{}) {
	scanner := bufio.NewScanner(from)
	for scanner.Scan() {
		l.mu.Lock()
		l.text.WriteString(scanner.Text() + "\n")
		l.mu.Unlock()
		if up != nil && strings.Contains(scanner.Text(), ready) {
			close(up)
			up = nil
		}
	}
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// freePorts finds ports that are free over both UDP and TCP.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for len(ports) < n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		conn, err := net.ListenPacket("udp", listener.Addr().String())
		if err != nil {
			continue
		}
		defer conn.Close()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

func TestV15RealDNSServers(t *testing.T) {
	d := newRealDNS(t)
	t.Run("expired", func(t *testing.T) { // first, since unbound gives the reason once and then remembers only that it is bogus
		_, err := resolver(t, validate.ResolverConfig{Servers: []string{d.plain}}).TXT(t.Context(), "first.expired.test")
		wantProblem(t, asProblem(t, err), acme.TypeDNS, "could not answer (SERVFAIL): a DNSSEC signature has expired (extended error 7)")
	})
	for name, server := range map[string]string{
		"UDP": d.plain, "TCP": "tcp://" + d.plain, "TLS": d.tls, "HTTPS": d.https,
		"TLS by name":   strings.Replace(d.tls, "//", "//example.com@", 1),
		"HTTPS by name": strings.Replace(d.https, "//", "//example.com@", 1),
	} {
		t.Run(name, func(t *testing.T) {
			r := resolver(t, validate.ResolverConfig{Servers: []string{server}, Roots: d.roots})
			lookUpReal(t, r)
			proveReal(t, r)
		})
	}
	t.Run("CAA", func(t *testing.T) { caaReal(t, d) })
	t.Run("required", func(t *testing.T) { requireReal(t, d) })
}

// lookUpReal: signed is secure, bogus fails with its reason, unsigned is fine; aliases and long answers.
func lookUpReal(t *testing.T, r *validate.Resolver) {
	for name, want := range map[string]struct {
		address string
		dnssec  validate.Security
	}{
		"signed.test":        {"10.0.0.1 dns", validate.Secure},
		"www.signed.test":    {"10.0.0.1 dns", validate.Secure},
		"plain.test":         {"10.0.0.4 dns", validate.Unknown},
		"one.plain.test":     {"10.0.0.5 dns", validate.Unknown},
		"in.plain.test":      {"10.0.0.1 dns", validate.Unknown}, // one link of the chain is not signed
		"out.signed.test":    {"10.0.0.5 dns", validate.Unknown},
		"a.sub.plain.test":   {"10.0.0.5 dns", validate.Unknown}, // by DNAME
		"ns.expired.test":    {"", validate.Bogus},
		"expired.test":       {"", validate.Bogus},
		"tampered.test":      {"", validate.Bogus},
		"ring.plain.test":    {"", ""},
		"nobody.plain.test":  {"", validate.Unknown},
		"nobody.signed.test": {"", validate.Secure},
	} {
		found, err := r.Lookup(t.Context(), name)
		if got := strings.Join(addresses(found), ","); got != want.address || (err == nil) != (want.address != "") {
			t.Errorf("%s is %s, want %s (%v)", name, got, want.address, err)
		}
		if found.DNSSEC != want.dnssec && want.dnssec != "" {
			t.Errorf("%s is %q, want %q: %+v", name, found.DNSSEC, want.dnssec, found.Questions)
		}
		if err != nil {
			asProblem(t, err)
		}
	}
	_, err := r.Lookup(t.Context(), "tampered.test")
	wantProblem(t, asProblem(t, err), acme.TypeDNS, "DNSSEC does not verify (extended error 6)")
	found, err := r.TXT(t.Context(), "big.plain.test")
	if err != nil || len(found.Values) != 60 || !found.Questions[0].TCP || found.Questions[0].DNSSEC != validate.Unknown {
		t.Errorf("the long answer has %d values, %v, %+v", len(found.Values), err, found.Questions)
	}
}

// proveReal proves by dns-01, where a bogus zone is as good as none.
func proveReal(t *testing.T, r *validate.Resolver) {
	prober := validate.New(validate.Config{Resolver: r})
	for name, want := range map[string]acme.ProblemType{"signed.test": "", "plain.test": "", "expired.test": acme.TypeDNS} {
		req := request(name)
		req.Type = acme.DNS01
		result, err := prober.Prove(t.Context(), req)
		switch {
		case err != nil || (want == "") != (result.Problem == nil):
			t.Errorf("%s: %+v, %v", name, result, err)
		case want != "":
			wantProblem(t, result.Problem, want, "could not answer (SERVFAIL): ", "DNSSEC", "(extended error ")
			if q := result.Evidence.Lookups[0].Questions; !result.Temporary || len(q) != 1 || q[0].Status != "SERVFAIL" || len(q[0].Extended) == 0 || q[0].DNSSEC != validate.Bogus {
				t.Errorf("%s: %v, %+v", name, result.Temporary, q)
			}
		}
	}
}

func caaReal(t *testing.T, d realDNS) {
	prober := validate.New(validate.Config{Resolver: resolver(t, validate.ResolverConfig{Servers: []string{d.plain}})})
	for name, want := range map[string]acme.ProblemType{
		"signed.test": "", "x.y.signed.test": "", "www.signed.test": "", "*.signed.test": "", "a.plain.test": "",
		"shut.signed.test": acme.TypeCAA, "in.shut.signed.test": acme.TypeCAA,
		"expired.test": acme.TypeDNS, "x.expired.test": acme.TypeDNS,
	} {
		result, err := prober.CAA(t.Context(), caaRequest(name))
		if err != nil || (want == "") != (result.Problem == nil) {
			t.Errorf("%s: %+v, %v", name, result, err)
		} else if want != "" {
			wantProblem(t, result.Problem, want)
		}
	}
}

// requireReal: with DNSSEC required, what validates may be asked, and unsigned zones stay usable. What
// holds zones and does not validate is found out.
func requireReal(t *testing.T, d realDNS) {
	config := validate.ResolverConfig{Servers: []string{d.plain, d.tls}, Roots: d.roots, RequireDNSSEC: true, SignedName: "signed.test."}
	r := resolver(t, config)
	if err := r.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]validate.Security{"signed.test": validate.Secure, "plain.test": validate.Insecure} {
		if found := lookup(t, r, name); found.DNSSEC != want {
			t.Errorf("%s is %s", name, found.DNSSEC)
		}
	}
	config.Servers = []string{d.knot}
	r = resolver(t, config)
	if err := r.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "does not vouch for the SOA record of signed.test.") {
		t.Error(err)
	}
	if _, err := r.Lookup(t.Context(), "signed.test"); err == nil || !strings.Contains(err.Error(), "turn on DNSSEC validation") {
		t.Error(err)
	}
}
