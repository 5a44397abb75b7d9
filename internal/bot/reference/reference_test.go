package reference_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/reference"
)

func TestFind(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("sites-available/a", "server {\n  # ssl_certificate /etc/le/live/a.example/old.pem;\n  ssl_certificate /etc/le/live/a.example/fullchain.pem;\n}\n")
	write("conf.d/b", "ssl_certificate /etc/le/live/a.example.org/fullchain.pem;\nSSLCertificateFile \"/etc/le/archive/a.example/cert1.pem\"\n")
	write("main.cf", "smtpd_tls_chain_files = /etc/le/live/a.example\n")
	write("large", strings.Repeat("x", 2<<20))
	write("invalid", "\xff\xfe /etc/le/live/a.example/cert.pem\x1b[2J")
	for link, target := range map[string]string{"enabled": "sites-available/a", "dangling": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	lines, complete := reference.Find([]string{root, filepath.Join(root, "nosuch")}, []string{"/etc/le/live/a.example", "/etc/le/archive/a.example"})
	if complete {
		t.Error("a large file was looked at")
	}
	var got []string
	for _, line := range lines {
		got = append(got, strings.TrimPrefix(line.File, root)+" "+string(rune('0'+line.Number)))
	}
	if want := "/conf.d/b 2, /enabled 3, /invalid 1, /main.cf 1"; strings.Join(got, ", ") != want {
		t.Errorf("found %s, want %s", strings.Join(got, ", "), want)
	}
	if lines, complete := reference.Find([]string{filepath.Join(root, "sites-available")}, []string{"/etc/le/live/b.example"}); !complete || len(lines) != 0 {
		t.Errorf("%v, %v", lines, complete)
	}
}
