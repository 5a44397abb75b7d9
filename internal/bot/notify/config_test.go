package notify_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/notify"
)

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

const whole = `# who is told
events = failed, expiry-near
again = 5
[mail]
to = ops@example.org, duty@example.org
server = smtp.example.org
user = bot
password_file = password
[hook]
type = webhook
url = https://hooks.example.org/x
secret = "a # b"
timeout = 3s
[exec]
command = tell --now
`

func TestTheFileAndTheFlags(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "password"), "geheim\n", 0o600)
	write(t, filepath.Join(dir, notify.File), whole, 0o600)
	s, err := notify.Read(notify.Sources{Directory: dir, Host: "here.test", Flags: []string{"mailto:me@example.org", "exec:tell --now", "https://other.example/y"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Targets) != 5 || len(s.Kinds) != 2 || s.Again != 5 {
		t.Fatalf("read %d targets, %v, %d", len(s.Targets), s.Kinds, s.Again)
	}
	m, hook, mine := s.Targets[0].(*notify.Mail), s.Targets[1].(*notify.Webhook), s.Targets[3].(*notify.Mail)
	if m.Server != "smtp.example.org:587" || m.Security != notify.StartTLS || m.Password != "geheim" || m.From != "cairnbot@here.test" || len(m.To) != 2 {
		t.Errorf("mail: %+v", m)
	}
	if string(hook.Secret) != "a # b" || hook.Timeout.String() != "3s" {
		t.Errorf("webhook: %+v", hook)
	}
	if mine.Password != "geheim" || mine.To[0] != "me@example.org" {
		t.Errorf("the flag's mail: %+v", mine)
	}
}

func TestWhatIsWrongInTheFileIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"[mail]\nto = x@y.example\npasword = z":      `no setting "pasword"`,
		"colour = red":                               `no setting "colour"`,
		"events = failed, exploded":                  "exploded",
		"again = 0":                                  "again",
		"[slack]\nurl = https://x.example":           "type",
		"[mail]\nto = not an address":                "not an e-mail address",
		"[mail]\nto = x@y.example\nsecurity = maybe": "starttls",
		"[mail]\nto = x@y.example\nserver = m.example\nsecurity = none\nuser = u": "without encryption",
		"[webhook]\nurl = ftp://x.example":                                        "URL of a webhook",
		"[webhook]\nurl = https://x.example\ntimeout = soon":                      "timeout",
		"[webhook]\nurl = https://x.example\nsecret_file = missing":               "missing",
		"[exec]\ntimeout = 3s":                                                    "no command",
		"[exec]\ncommand = x\n[[more]]\na = b":                                    "no section",
		"[webhook]\nurl = https://x.example\nsecret = s\nsecret_file = t":         "exclude each other",
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, notify.File), text, 0o600)
		if _, err := notify.Read(notify.Sources{Directory: dir, Host: "h"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
	if _, err := notify.Read(notify.Sources{Directory: t.TempDir(), Host: "h", Flags: []string{"https:///secret"}}); err == nil || strings.Contains(err.Error(), "/secret") {
		t.Errorf("a flag that is no target: %v", err)
	}
}

func TestASecretThatOthersCanReadIsRefused(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, notify.File), "[webhook]\nurl = https://x.example\nsecret = s", 0o644)
	if _, err := notify.Read(notify.Sources{Directory: dir, Host: "h"}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a secret in a file that others can read: %v", err)
	}
	write(t, filepath.Join(dir, notify.File), "[webhook]\nurl = https://x.example\nsecret_file = s", 0o644)
	write(t, filepath.Join(dir, "s"), "s", 0o640)
	if _, err := notify.Read(notify.Sources{Directory: dir, Host: "h"}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file of a secret that others can read: %v", err)
	}
}
