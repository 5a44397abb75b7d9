package rfc2136_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/rfc2136"
	"github.com/cairn-ca/cairn/internal/bot/dns/txt"
)

// The tests here run Debian's BIND as a process of its own on a port of loopback. scripts/test-needs installs it.

var algorithms = []string{"HMAC-MD5", "HMAC-SHA1", "HMAC-SHA224", "HMAC-SHA256", "HMAC-SHA384", "HMAC-SHA512"}

// secretOf is the secret of a key of the server's: its name, in base64.
func secretOf(key string) string {
	return base64.StdEncoding.EncodeToString([]byte("a long secret of the key " + key))
}

// configuration takes the directory, the port, the keys and the grants.
const configuration = `
options {
	directory %[1]q; pid-file none; session-keyfile none; managed-keys-directory %[1]q;
	listen-on port %[2]d { 127.0.0.1; }; listen-on-v6 port %[2]d { ::1; };
	recursion no; dnssec-validation no; notify no; empty-zones-enable no;
};
controls { };
%[3]s
zone "dyn.test" { type primary; file "dyn.test"; update-policy { %[4]s }; };
zone "sub.dyn.test" { type primary; file "sub.dyn.test"; allow-update { 127.0.0.1; }; };
zone "closed.test" { type primary; file "closed.test"; allow-query { key hmac-sha256; }; update-policy { grant hmac-sha256 zonesub ANY; }; };
zone "fixed.test" { type primary; file "fixed.test"; };
zone "lan" { type primary; file "lan"; allow-update { key hmac-sha256; }; };
`

// bind starts a server and returns its port.
func bind(t *testing.T) int {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	var keys, grants strings.Builder
	for _, algorithm := range algorithms {
		name := strings.ToLower(algorithm)
		fmt.Fprintf(&keys, "key %q { algorithm %s; secret %q; };\n", name, name, secretOf(name))
		fmt.Fprintf(&grants, "grant %s zonesub TXT; ", name)
	}
	fmt.Fprintf(&keys, "key \"narrow\" { algorithm hmac-sha256; secret %q; };\n", secretOf("narrow"))
	grants.WriteString("grant narrow name _acme-challenge.narrow.dyn.test. TXT;")
	files := map[string]string{"named.conf": fmt.Sprintf(configuration, dir, port, keys.String(), grants.String())}
	for _, zone := range []string{"dyn.test", "sub.dyn.test", "closed.test", "fixed.test", "lan"} {
		files[zone] = "$TTL 60\n@ SOA ns host 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n"
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program, err := exec.LookPath("named")
	if err != nil {
		program = "/usr/sbin/named" // which an ordinary user's PATH mostly leaves out
	}
	server := exec.Command(program, "-g", "-n", "1", "-c", filepath.Join(dir, "named.conf"))
	var log lockedBuffer
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatalf("%v: scripts/test-needs installs it", err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !strings.Contains(log.String(), "all zones loaded") {
		if ctx.Err() != nil {
			t.Fatalf("named does not start:\n%s", log.String())
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return port
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func provider(t *testing.T, config rfc2136.Config) *rfc2136.Provider {
	t.Helper()
	p, err := rfc2136.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// values asks the server what it has at name.
func values(t *testing.T, port int, name string) []string {
	t.Helper()
	message := new(wire.Msg)
	message.SetQuestion(name, wire.TypeTXT)
	answer, _, err := (&wire.Client{Net: "tcp"}).Exchange(message, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, record := range answer.Answer {
		if found, ok := record.(*wire.TXT); ok {
			list = append(list, txt.Unquote(strings.TrimPrefix(found.String(), found.Hdr.String())))
		}
	}
	slices.Sort(list)
	return list
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func TestBIND(t *testing.T) {
	port := bind(t)
	config := func(algorithm string) rfc2136.Config {
		key := strings.ToLower(algorithm)
		return rfc2136.Config{Server: "127.0.0.1", Port: port, Key: key, Secret: secretOf(key), Algorithm: algorithm}
	}
	for _, algorithm := range algorithms {
		t.Run(algorithm, func(t *testing.T) { testKeepsOthers(t, port, provider(t, config(algorithm))) })
	}
	t.Run("MD5 is certbot's default", func(t *testing.T) {
		c := config("HMAC-MD5")
		c.Algorithm = ""
		testKeepsOthers(t, port, provider(t, c))
	})
	t.Run("IPv6", func(t *testing.T) {
		c := config("HMAC-SHA512")
		for _, server := range []string{"::1", "[::1]", "[::1]:" + strconv.Itoa(port), "localhost"} {
			c.Server = server
			testKeepsOthers(t, port, provider(t, c))
		}
	})
	t.Run("no key", func(t *testing.T) {
		p := provider(t, rfc2136.Config{Server: "127.0.0.1", Port: port})
		record := dns.Record{Name: "_acme-challenge.sub.dyn.test.", Value: "one"} // the longer zone is the one
		must(t, p.Add(t.Context(), record))
		if got := values(t, port, record.Name); !slices.Equal(got, []string{"one"}) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("a zone of one label", func(t *testing.T) {
		must(t, provider(t, config("HMAC-SHA256")).Add(t.Context(), dns.Record{Name: "_acme-challenge.printer.lan.", Value: "one"}))
	})
	t.Run("refusals", func(t *testing.T) { testRefusals(t, port, config) })
	t.Run("many at once", func(t *testing.T) { testManyAtOnce(t, port, provider(t, config("HMAC-SHA256"))) })
}

func testKeepsOthers(t *testing.T, port int, p *rfc2136.Provider) {
	t.Helper()
	name := "_acme-challenge.www.dyn.test."
	long := dns.Record{Name: name, Value: `ca.test; accounturi=https://ca.test/"x"\1; ` + strings.Repeat("y", 300), TTL: time.Minute}
	one, two := dns.Record{Name: name, Value: "one"}, dns.Record{Name: name, Value: "two"}
	for _, r := range []dns.Record{one, two, two, long} { // twice is once
		must(t, p.Add(t.Context(), r))
	}
	if got := values(t, port, name); !slices.Equal(got, []string{long.Value, "one", "two"}) {
		t.Errorf("got %q", got)
	}
	for _, r := range []dns.Record{two, two, long} {
		must(t, p.Remove(t.Context(), r))
	}
	if got := values(t, port, name); !slices.Equal(got, []string{"one"}) {
		t.Errorf("after removing two of three: %q", got)
	}
	must(t, p.Remove(t.Context(), one))
	if got := values(t, port, name); len(got) != 0 {
		t.Errorf("left %q", got)
	}
}

func testRefusals(t *testing.T, port int, config func(string) rfc2136.Config) {
	good := config("HMAC-SHA256")
	unknown, wrong, narrow, signing, none := good, good, good, good, good
	unknown.Key = "nobody"
	wrong.Secret = secretOf("another")
	narrow.Key, narrow.Secret = "narrow", secretOf("narrow")
	signing.SignQuery = true
	none.Key, none.Secret = "", ""
	for _, c := range []struct {
		config     rfc2136.Config
		name, want string // want is a part of the error, or ""
	}{
		{unknown, "a.dyn.test.", "does not know the key nobody."},
		{wrong, "a.dyn.test.", "compare the secret"},
		{narrow, "a.dyn.test.", "update-policy"},
		{narrow, "_acme-challenge.narrow.dyn.test.", ""},
		{none, "a.dyn.test.", "it wants a key"},
		{good, "a.fixed.test.", "may not do this"},
		{good, "a.elsewhere.example.", "no zone for this name"},
		{good, "a.closed.test.", "no zone for this name"},
		{signing, "a.closed.test.", ""},
		{good, "a b.dyn.test.", "is not a name"},
	} {
		err := provider(t, c.config).Add(t.Context(), dns.Record{Name: c.name, Value: "x"})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with the key %q: %v, want %q", c.name, c.config.Key, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), c.config.Secret) && c.config.Secret != "" {
			t.Errorf("the secret is in %v", err)
		}
	}
}

func testManyAtOnce(t *testing.T, port int, p *rfc2136.Provider) {
	name := "_acme-challenge.many.dyn.test."
	var wait sync.WaitGroup
	want := []string{}
	for i := range 10 {
		value := "value" + strconv.Itoa(i)
		want = append(want, value)
		wait.Go(func() {
			if err := p.Add(context.Background(), dns.Record{Name: name, Value: value}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if got := values(t, port, name); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// TestASilentServer: a server that takes the connection and says nothing.
func TestASilentServer(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	p := provider(t, rfc2136.Config{Server: listener.Addr().String(), Timeout: 100 * time.Millisecond})
	err = p.Add(t.Context(), dns.Record{Name: "_acme-challenge.a.test.", Value: "x"})
	if err == nil || !strings.Contains(err.Error(), "no answer within 100ms") {
		t.Errorf("got %v", err)
	}
}

func TestAnswersOfAnImpostor(t *testing.T) {
	// A server without the key answers that all is well; a signature is missing, or is wrong.
	for _, sign := range []bool{false, true} {
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := &wire.Server{Listener: listener, TsigSecret: map[string]string{"k.": secretOf("k")}, MsgAcceptFunc: func(wire.Header) wire.MsgAcceptAction { return wire.MsgAccept },
			Handler: wire.HandlerFunc(func(w wire.ResponseWriter, question *wire.Msg) {
				answer := new(wire.Msg).SetReply(question)
				answer.Authoritative = true
				if question.Opcode == wire.OpcodeQuery {
					answer.Answer = []wire.RR{&wire.SOA{Hdr: wire.RR_Header{Name: question.Question[0].Name, Rrtype: wire.TypeSOA, Class: wire.ClassINET}, Ns: ".", Mbox: "."}}
				} else if sign {
					answer.SetTsig("k.", wire.HmacSHA256, 300, time.Now().Unix())
				}
				_ = w.WriteMsg(answer)
			})}
		go func() { _ = server.ActivateAndServe() }()
		t.Cleanup(func() { _ = server.Shutdown() })
		p := provider(t, rfc2136.Config{Server: listener.Addr().String(), Key: "k", Secret: secretOf("another"), Algorithm: "hmac-sha256"})
		if err := p.Add(t.Context(), dns.Record{Name: "a.test.", Value: "x"}); err == nil {
			t.Errorf("signed %t: believed", sign)
		}
	}
}

func TestSettings(t *testing.T) {
	secret := secretOf("x")
	for _, config := range []rfc2136.Config{
		{}, {Server: "a b"}, {Server: "1.2.3.4", Port: 70000}, {Server: "1.2.3.4:x"}, {Server: "https://ns.test"},
		{Server: "1.2.3.4", SignQuery: true}, {Server: "1.2.3.4", Key: "k"}, {Server: "1.2.3.4", Secret: secret}, {Server: "1.2.3.4", Key: "k", Secret: "not base64!"},
		{Server: "1.2.3.4", Key: "k", Secret: secret, Algorithm: "HMAC-FOO"}, {Server: "1.2.3.4", Key: "k", Secret: secret, Algorithm: "gss-tsig."},
	} {
		if _, err := rfc2136.New(config); err == nil || strings.Contains(err.Error(), "not base64!") {
			t.Errorf("%+v: %v", config, err)
		}
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("key \"k\" {\n\talgorithm hmac-sha256;\n\tsecret \""+secret+"\";\n};\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		values map[string]string
		good   bool
	}{
		{map[string]string{"server": "192.0.2.1", "name": "k", "secret": secret, "port": "53", "sign_query": "True"}, true},
		{map[string]string{"server": "fe80::1%eth0", "key_file": file}, true},
		{map[string]string{"server": "192.0.2.1", "key_file": file + "x"}, false},
		{map[string]string{"server": "192.0.2.1", "port": "x"}, false},
		{map[string]string{"server": "192.0.2.1", "sign_query": "perhaps"}, false},
	} {
		if _, err := rfc2136.Entry().New(dns.Settings{Values: c.values}); (err == nil) != c.good {
			t.Errorf("%v: %v", c.values, err)
		}
	}
}
