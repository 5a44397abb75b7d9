package notify_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/notify"
)

// receiver is a web server that keeps what is posted to it.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	events []notify.Event
	signed bool
}

func receive(t *testing.T, secret string) *receiver {
	r := &receiver{status: http.StatusNoContent}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		body, err := io.ReadAll(request.Body)
		var e notify.Event
		if err != nil || json.Unmarshal(body, &e) != nil {
			t.Errorf("what is posted is no event: %q, %v", body, err)
		}
		r.signed = request.Header.Get(notify.SignatureHeader) == "sha256="+notify.Sign([]byte(secret), request.Header.Get(notify.TimeHeader), body)
		if r.status < 300 {
			r.events = append(r.events, e)
		}
		http.Redirect(w, request, "/elsewhere", r.status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *receiver) kinds() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var kinds []string
	for _, e := range r.events {
		kinds = append(kinds, string(e.Kind))
	}
	return strings.Join(kinds, " ")
}

func open(t *testing.T, memory string, targets ...notify.Target) *notify.Notifier {
	t.Helper()
	n, err := notify.Open(notify.Config{Targets: targets, Memory: memory, Host: "here.test"})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAWebhookIsTriedAgainByTheNextRun(t *testing.T) {
	hook := receive(t, "key")
	memory := filepath.Join(t.TempDir(), "lib", "notify.json")
	target := &notify.Webhook{URL: hook.URL + "/secret-path", Secret: []byte("key")}
	run := func(s notify.State) error {
		return open(t, memory, target).Tell(t.Context(), []notify.State{s}, true, now)
	}
	first := state("01", 80*day)
	first.Obtained = true
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusFound} { // a redirect is not followed
		hook.answer(status)
		err := run(first)
		if err == nil || strings.Contains(err.Error(), "secret-path") {
			t.Errorf("with %d as the answer: error %v, want one without the path", status, err)
		}
	}
	hook.answer(http.StatusOK)
	for range 2 {
		if err := run(failing(state("01", 20*day), 1)); err != nil {
			t.Fatal(err)
		}
	}
	if got := hook.kinds(); got != "renewed failed" {
		t.Errorf("delivered %q, want each once and in order", got)
	}
	if !hook.signed {
		t.Error("the signature is wrong")
	}
	if info, err := os.Stat(memory); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the memory is %v, %v", info, err)
	}
}

func TestOneTargetDoesNotKeepAnotherWaiting(t *testing.T) {
	bad, good := receive(t, ""), receive(t, "")
	bad.answer(http.StatusInternalServerError)
	memory := filepath.Join(t.TempDir(), "notify.json")
	n := open(t, memory, &notify.Webhook{URL: bad.URL}, &notify.Webhook{URL: good.URL})
	if err := n.Tell(t.Context(), []notify.State{failing(state("01", 20*day), 1)}, true, now); err == nil {
		t.Error("no error of the one that is down")
	}
	bad.answer(http.StatusOK)
	if err := open(t, memory, &notify.Webhook{URL: bad.URL}, &notify.Webhook{URL: good.URL}).Tell(t.Context(), nil, false, now); err != nil {
		t.Fatal(err)
	}
	if bad.kinds() != "failed" || good.kinds() != "failed" {
		t.Errorf("delivered %q and %q", bad.kinds(), good.kinds())
	}
}

// cutOff is a target at which the process ends: what it would have told is on disk by then.
type cutOff struct {
	*notify.Webhook
	memory string
	seen   []byte
}

func (c *cutOff) Send(context.Context, notify.Event) (err error) {
	if c.seen, err = os.ReadFile(c.memory); err == nil {
		err = context.Canceled
	}
	return err
}

func TestACrashLosesNothing(t *testing.T) {
	hook := receive(t, "")
	memory := filepath.Join(t.TempDir(), "notify.json")
	cut := &cutOff{Webhook: &notify.Webhook{URL: hook.URL}, memory: memory}
	if err := open(t, memory, cut).Tell(t.Context(), []notify.State{failing(state("01", 20*day), 1)}, true, now); err == nil {
		t.Error("what was cut off was no error")
	}
	// The file as it was in the middle of the delivery is what a crash leaves.
	if err := os.WriteFile(memory, cut.seen, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := open(t, memory, cut.Webhook).Tell(t.Context(), []notify.State{failing(state("01", 20*day), 1)}, true, now); err != nil {
			t.Fatal(err)
		}
	}
	if got := hook.kinds(); got != "failed" {
		t.Errorf("after a crash %q was delivered, want it once", got)
	}
}

func TestAMemoryThatIsBrokenCountsAsNone(t *testing.T) {
	memory := filepath.Join(t.TempDir(), "notify.json")
	if err := os.WriteFile(memory, []byte(`{"format":1,"told":[]`), 0o600); err != nil {
		t.Fatal(err)
	}
	hook := receive(t, "")
	if err := open(t, memory, &notify.Webhook{URL: hook.URL}).Tell(t.Context(), []notify.State{failing(state("01", 20*day), 2)}, true, now); err != nil {
		t.Fatal(err)
	}
	if got := hook.kinds(); got != "failed" {
		t.Errorf("delivered %q", got)
	}
}

func TestACommandGetsTheEventByItsEnvironmentAlone(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	command := &notify.Exec{Environment: os.Environ(), Command: `printf '%s|%s|%s' "$CAIRNBOT_EVENT" "$CAIRNBOT_LINEAGE" "$CAIRNBOT_PROBLEM" >` + out}
	s := failing(state("01", 20*day), 1)
	s.Problem = "\x1b[2J$(touch /tmp/never)`id`\nsecond"
	if err := open(t, filepath.Join(t.TempDir(), "m"), command).Tell(t.Context(), []notify.State{s}, true, now); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if want := "failed|a.test| [2J$(touch /tmp/never)`id` second"; err != nil || string(got) != want {
		t.Errorf("the command saw %q, %v, want %q", got, err, want)
	}
}

func TestACommandIsEndedWithWhatItStarted(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if text, err := exec.Command("mkfifo", fifo).CombinedOutput(); err != nil {
		t.Fatalf("mkfifo: %v: %s", err, text)
	}
	// The grandchild holds the fifo open for writing as long as it lives.
	command := &notify.Exec{Environment: os.Environ(), Command: "(sleep 600 3>" + fifo + ") & wait", Timeout: 200 * time.Millisecond}
	ended := make(chan error, 1)
	go func() {
		file, err := os.Open(fifo)
		if err == nil {
			_, err = io.ReadAll(file) // until nobody has it open any more
			_ = file.Close()
		}
		ended <- err
	}()
	if err := command.Send(t.Context(), notify.Event{Kind: notify.Test}); err == nil || !strings.Contains(err.Error(), "longer than it may") {
		t.Errorf("the error is %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestACommandHasTheTimeThatIsLeft(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	command := &notify.Exec{Environment: os.Environ(), Command: "exec sleep 50", Timeout: time.Minute}
	for range 2 { // within the time, and after it
		began := time.Now()
		if err := command.Send(ctx, notify.Event{Kind: notify.Test}); err == nil || time.Since(began) > 30*time.Second {
			t.Errorf("after %s: error %v", time.Since(began), err)
		}
	}
}

func TestTheNameOfACommandHasNoSecretInIt(t *testing.T) {
	names := make(map[string]bool)
	for command, begins := range map[string]string{
		"/usr/local/bin/tell": "exec /usr/local/bin/tell ", "curl -H 'Authorization: Bearer s3cret' x": "exec curl ", "curl -H 'Authorization: Bearer s3cret2' x": "exec curl ",
		"TOKEN=s3cret tell": "exec ", "'s3cret' tell": "exec ", "$(s3cret)": "exec ", "": "exec ",
	} {
		name := (&notify.Exec{Command: command}).Name()
		if !strings.HasPrefix(name, begins) || strings.Contains(name, "s3cret") || names[name] {
			t.Errorf("%q is called %q", command, name)
		}
		names[name] = true
	}
}

// certificate makes files for a TLS server on loopback, and the pool that trusts it.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(leaf)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "c.pem"), filepath.Join(t.TempDir(), "k.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key, pool
}

// mailServer runs somebody else's mail server; its output are the messages.
func mailServer(t *testing.T, arguments ...string) (address string, messages *bufio.Reader) {
	t.Helper()
	command := exec.Command("/usr/bin/python3", append([]string{"testdata/smtpd.py"}, arguments...)...)
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("python3 with aiosmtpd (see scripts/test-needs): %v", err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = command.Wait()
	})
	messages = bufio.NewReader(stdout)
	port, err := messages.ReadString('\n')
	if err != nil {
		t.Fatalf("the mail server of python3-aiosmtpd did not start: %v", err)
	}
	return net.JoinHostPort("127.0.0.1", strings.TrimSpace(port)), messages
}

func TestMailGoesThroughSomebodyElsesServer(t *testing.T) {
	cert, key, pool := certificate(t)
	for _, test := range []struct {
		security notify.Security
		without  []string // mechanisms to sign in
		user     string
	}{
		{notify.StartTLS, nil, "bot by PLAIN"}, {notify.StartTLS, []string{"PLAIN"}, "bot by LOGIN"}, {notify.TLS, nil, "bot by PLAIN"},
	} {
		address, messages := mailServer(t, append([]string{cert, key, string(test.security)}, test.without...)...)
		m := &notify.Mail{To: []string{"ops@example.org", "duty@example.org"}, From: "bot@example.org", Server: address, Security: test.security,
			User: "bot", Password: "s3cret word", TLSConfig: &tls.Config{RootCAs: pool}}
		if err := m.Check(); err != nil {
			t.Fatal(err)
		}
		s := failing(state("01", 20*day), 1)
		s.Problem = "no é\r\n.\r\nMAIL FROM:<x@y>"
		if err := open(t, filepath.Join(t.TempDir(), "m"), m).Tell(t.Context(), []notify.State{s}, true, now); err != nil {
			t.Fatal(err)
		}
		line, err := messages.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			From, User, Text string
			To               []string
			Encrypted        bool
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatal(err)
		}
		if !got.Encrypted || got.User != test.user || len(got.To) != 2 || got.From != "bot@example.org" {
			t.Errorf("%s: the server got %+v", test.security, got)
		}
		for _, want := range []string{"Subject: cairnbot: a.test could not be renewed (here.test)", "Problem:      no =C3=A9  .  MAIL FROM:<x@y>", "cairnbot explain a.test"} {
			if !strings.Contains(got.Text, want) {
				t.Errorf("%s: there is no %q in\n%s", test.security, want, got.Text)
			}
		}
		wrong := *m
		wrong.Password = "wrong"
		if err := wrong.Send(t.Context(), notify.Event{Kind: notify.Test}); err == nil || !strings.Contains(err.Error(), "535") {
			t.Errorf("with the wrong password: %v", err)
		}
		stranger := *m
		stranger.TLSConfig = nil
		if err := stranger.Send(t.Context(), notify.Event{Kind: notify.Test}); err == nil {
			t.Error("a server that nobody knows got the password")
		}
	}
}

func TestMailGoesThroughSendmail(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "sendmail")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"$@\" >"+dir+"/args\ncat >"+dir+"/message\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	m := &notify.Mail{To: []string{"ops@example.org"}, Sendmail: program, Host: "here.test"}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	if err := m.Send(t.Context(), notify.Event{Kind: notify.Test, Lineage: "a.test", Time: now}); err != nil {
		t.Fatal(err)
	}
	args, _ := os.ReadFile(dir + "/args")
	message, _ := os.ReadFile(dir + "/message")
	if string(args) != "-i -f cairnbot@here.test -- ops@example.org\n" || strings.Contains(string(message), "\r") || !strings.Contains(string(message), "this is a test") {
		t.Errorf("sendmail got %q and\n%s", args, message)
	}
}

func TestAServerThatHangsIsLeft(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	m := &notify.Mail{To: []string{"a@b.test"}, Server: listener.Addr().String(), Security: notify.None, Timeout: 50 * time.Millisecond}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	for _, target := range []notify.Target{m, &notify.Webhook{URL: "http://" + listener.Addr().String(), Timeout: 50 * time.Millisecond}} {
		if err := target.Send(ctx, notify.Event{Kind: notify.Test}); err == nil || ctx.Err() != nil {
			t.Errorf("%s: error %v", target.Name(), err)
		}
	}
}

// TestAServerThatTalksWithoutEndIsLeft has a mail server send one line that never ends.
func TestAServerThatTalksWithoutEndIsLeft(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for line := bytes.Repeat([]byte("x"), 64<<10); err == nil; {
			_, err = conn.Write(line)
		}
	}()
	m := &notify.Mail{To: []string{"a@b.test"}, Server: listener.Addr().String(), Security: notify.None, Timeout: 10 * time.Second}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	if err := m.Send(t.Context(), notify.Event{Kind: notify.Test}); err == nil || !strings.Contains(err.Error(), "more than any should") {
		t.Errorf("got %v", err)
	}
}

// TestTextIsReadAsItIsShown takes out what has text shown backwards, and what could end a line.
func TestTextIsReadAsItIsShown(t *testing.T) {
	problem := "no \u202eyes\u2066 \u200b\u0085\u2028\x1b[2J\r\nBcc: all@example.org"
	event := notify.Event{Kind: notify.Failed, Lineage: "a.test", Problem: problem}
	for _, text := range append(notify.Variables(event), event.Text(), event.Subject()) {
		if strings.ContainsAny(text, "\u202e\u2066\u200b\u0085\u2028\x1b\r") || strings.Contains(text, "\nBcc") {
			t.Errorf("it says %q", text)
		}
	}
}
