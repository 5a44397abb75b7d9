package trust_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca/trust"
)

// shell runs commands in a new directory, with stubs for the programs named:
// each notes its environment's certificate variables and its arguments, one a line.
func shell(t *testing.T, commands string, stubs ...string) (calls string, err error) {
	t.Helper()
	dir := t.TempDir()
	bin, log := filepath.Join(dir, "bin"), filepath.Join(dir, "calls")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	scripts := map[string]string{
		// macOS has shasum where Linux has sha256sum.
		"shasum": "#!/bin/sh\n[ \"$1 $2\" = '-a 256' ] && shift 2 && exec sha256sum \"$@\"\n",
	}
	for _, name := range stubs {
		scripts[name] = "#!/bin/sh\n{ printf '%s\\n' " + name +
			` "$REQUESTS_CA_BUNDLE" "$LEGO_CA_CERTIFICATES" "$@"; echo; } >>'` + log + "'\n"
	}
	for name, text := range scripts {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", commands)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin", "HOME=" + dir}
	output, err := cmd.CombinedOutput()
	t.Logf("%s", output)
	noted, _ := os.ReadFile(log)
	return string(noted), err
}

// TestCommandsCompare runs what the instructions say. With the right root the
// program that trusts is called; with another one, or with another one hidden
// behind the right one, it never is.
func TestCommandsCompare(t *testing.T) {
	right, wrong := newAuthority(t), newAuthority(t)
	for _, test := range []struct {
		name   string
		served []byte
		want   bool
	}{
		{"the root", right.root.Raw, true},
		{"another root", wrong.root.Raw, false},
		{"another root behind it", slices.Concat(right.root.Raw, wrong.root.Raw), false},
		{"another root before it", slices.Concat(wrong.root.Raw, right.root.Raw), false},
		{"nothing", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(test.served) }))
			defer plain.Close()
			secure := httptest.NewUnstartedServer(plain.Config.Handler)
			secure.TLS = &tls.Config{Certificates: []tls.Certificate{right.server(t)}}
			secure.StartTLS()
			defer secure.Close()
			p := trust.Page{
				Directory: secure.URL + "/directory",
				RootPEM:   plain.URL + "/root.pem", RootDER: plain.URL + "/root.der",
				Root: right.root,
			}
			insecure := p
			insecure.RootDER = secure.URL + "/root.der" // of a server that nobody trusts yet
			for _, in := range append(p.Instructions(), insecure.Instructions()[0]) {
				switch in.System {
				case "Windows", "A container":
					if !strings.Contains(in.Commands, p.Hex()) || !strings.Contains(in.Commands, p.RootDER) {
						t.Errorf("%s: no fingerprint or no URL in\n%s", in.System, in.Commands)
					}
					continue
				}
				calls, err := shell(t, in.Commands, "sudo", "certutil")
				if (err == nil) != test.want {
					t.Errorf("%s: error %v from\n%s", in.System, err, in.Commands)
				}
				trusted := calls != "" || strings.Contains(in.System, "one command") && err == nil
				if trusted != test.want {
					t.Errorf("%s: calls %q of\n%s", in.System, calls, in.Commands)
				}
			}
		})
	}
}

// TestClients runs the clients' lines, with a root whose path needs quoting.
func TestClients(t *testing.T) {
	p := newPage(t)
	for _, root := range []string{"", "/var/lib/cairn/root.pem", "/home/o'neil/my ca/root.pem"} {
		p.RootFile = root
		file := root
		if root == "" {
			file = "cairn-root.pem"
		}
		want := map[string]string{
			"certbot": "certbot\n" + file + "\n\ncertonly\n--standalone\n--server\n" + p.Directory +
				"\n-d\nNAME\n--agree-tos\n-m\nyou@example.com\n-n\n\n",
			"lego": "lego\n\n" + file + "\n--server\n" + p.Directory +
				"\n--email\nyou@example.com\n--accept-tos\n--domains\nNAME\n--http\nrun\n\n",
			"acme.sh": "acme.sh\n\n\n--issue\n--server\n" + p.Directory + "\n--ca-bundle\n" + file + "\n--standalone\n-d\nNAME\n\n",
			"cairnbot": "cairnbot\n\n\ncertonly\n--standalone\n--server\n" + p.Directory + "\n--ca-bundle\n" + file +
				"\n-d\nNAME\n--agree-tos\n-m\nyou@example.com\n-n\n\n",
		}
		for _, client := range p.Clients() {
			if client.Name == "Caddy" {
				if !strings.Contains(client.Text, "acme_ca "+p.Directory+"\nacme_ca_root ") || !strings.Contains(client.Text, file) {
					t.Errorf("Caddy: %s", client.Text)
				}
				continue
			}
			if strings.Contains(client.Text, "\n") {
				t.Errorf("%s: more than one line: %s", client.Name, client.Text)
			}
			calls, err := shell(t, client.Text, client.Name)
			if err != nil || calls != want[client.Name] {
				t.Errorf("%s: error %v, calls\n%s\nwant\n%s", client.Name, err, calls, want[client.Name])
			}
			delete(want, client.Name)
		}
		if len(want) != 0 {
			t.Errorf("no line for %v", want)
		}
	}
}
