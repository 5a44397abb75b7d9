package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCertbotEndsWithTheSameCode gives the same command lines, none of which needs a CA, to Debian's certbot and to us.
// Left out are lines that certbot has no answer to: the verb "help", JSON that is none (its parser's error is uncaught), and a directory without a name.
func TestCertbotEndsWithTheSameCode(t *testing.T) {
	config := filepath.Join(t.TempDir(), "cli.ini")
	for name, text := range map[string]string{
		config: "email = a@b.example\nagree-tos = true\n", config + ".unknown": "nosuch = 1\n", config + ".switch": "quiet = perhaps\n",
		config + ".spoilt": "= 1\n", config + ".list": "server = [a, b]\n", config + ".names": "domains = a.example\nquiet\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, argv := range []string{
		"--version", "--help", "-h certonly", "--help all", "renew --help", "--help nosuch", "certonly --nosuch --help",
		"certonly --", "certonly renew", "certonly nosuch", "--nosuch", "-x", "certonly --re x", "certonly -d", "certonly -d --standalone",
		"certonly --standalone=yes", "certonly --http-01-port many", "certonly --key-type dsa", "certonly --key-type ECDSA",
		"certonly --standalone --webroot -d a.example -n", "certonly --preferred-challenges nosuch", "certonly --http-01-port 443 -n -d a.example --standalone",
		"certonly -n --force-interactive", "renew --force-interactive", "register --dry-run", "certonly --staging --server http://x/ -d a.example -n --standalone",
		"certonly -d http://a.example/ -n", "certonly -d a..example -n", "certonly -d ä.example -n", "certonly -d *.*.example -n",
		"run --csr /etc/hostname", "certonly --allow-subset-of-names -d *.a.example -n --manual", "certonly --hsts --auto-hsts -n -d a.example",
		"revoke --reason nosuch", "revoke -n", "renew -d a.example", "certonly -d a.example -w /tmp -d b.example -w /var -n",
		"certonly -a nosuch -n -d a.example", "certificates", "certificates -d a.example", "renew -q", "renew --cert-name nosuch",
		"--conf nosuch.ini certificates", "-c " + config + " certificates", "-c " + config + ".unknown certificates", "-c " + config + ".switch certificates",
		"-c " + config + ".spoilt certificates", "-c " + config + ".list certificates", "-c " + config + ".names renew", "-c " + config + ".names -d b.example renew",
		"certificates --no-self-upgrade --os-packages-only --manual-public-ip-logging-ok -t", "-nvv certificates", "certificates --cert=x --noninter",
		"certificates --max-log-backups -1", "certificates --max-log-backups 0",
	} {
		dir := t.TempDir()
		args := append([]string{"--config-dir", filepath.Join(dir, "c"), "--work-dir", filepath.Join(dir, "w"), "--logs-dir", filepath.Join(dir, "l")},
			strings.Fields(argv)...)
		certbot := exec.Command("certbot", args...)
		certbot.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir)
		theirs, err := certbot.CombinedOutput()
		want := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			want = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		var ours bytes.Buffer
		got := run(t.Context(), args, process{out: &ours, err: &ours, getenv: func(string) string { return "" }})
		if got != want {
			t.Errorf("%s: exit code %d, and certbot's is %d\nours:\n%s\ncertbot's:\n%s", argv, got, want, &ours, theirs)
		}
	}
}
