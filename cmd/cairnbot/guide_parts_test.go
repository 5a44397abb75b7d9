package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/ask"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

func TestReadNames(t *testing.T) {
	for typed, want := range map[string]string{
		"a.example":                            "a.example",
		"a.example,b.example  c.example;":      "a.example b.example c.example",
		"A.Example. a.example":                 "a.example",
		"https://www.example.org:8443/x?y=z#w": "www.example.org",
		"http://[2001:db8::1]/":                "2001:db8::1",
		"www.example.org/":                     "www.example.org",
		`"a.example"`:                          "a.example",
		"*.a.example":                          "*.a.example",
		"*.bücher.example":                     "*.xn--bcher-kva.example",
		"192.0.2.7":                            "192.0.2.7",
		"a_b.example":                          "a_b.example",
		"host":                                 "host",
	} {
		names, _, err := readNames(typed)
		if err != nil || strings.Join(names, " ") != want {
			t.Errorf("%q: %q, %v", typed, names, err)
		}
	}
	for _, typed := range []string{"", " , ", "a.example/path", "you@example.org", "https://", "a..example", "-a.example", "a.*.example", "xn--\u00fc.example", strings.Repeat("a", 64) + ".example", "::g", "a.example \u202eb"} {
		if names, _, err := readNames(typed); err == nil {
			t.Errorf("%q is taken as %q", typed, names)
		}
	}
}

func FuzzReadNames(f *testing.F) {
	f.Add("https://www.example.org/, *.bücher.example")
	f.Fuzz(func(t *testing.T, typed string) {
		names, _, err := readNames(typed)
		for _, name := range names {
			if again, err := checkDomain(name); err != nil || again != name {
				t.Errorf("%q: %q is %q, %v", typed, name, again, err)
			}
		}
		if (err == nil) != (len(names) > 0) {
			t.Errorf("%q: %q, %v", typed, names, err)
		}
	})
}

func TestCheckEmail(t *testing.T) {
	for typed, want := range map[string]string{
		"": "", "you@example.org": "you@example.org", "you@example.org , me+x@a.b.example,": "you@example.org,me+x@a.b.example",
	} {
		if got, err := checkEmail(typed); err != nil || got != want {
			t.Errorf("%q: %q, %v", typed, got, err)
		}
	}
	for _, typed := range []string{"you", "you@", "@example.org", "you@host", "You <you@example.org>", "a b@example.org", "yöu@example.org", "you@example.org me@example.org", "you@.org"} {
		if got, err := checkEmail(typed); err == nil {
			t.Errorf("%q is taken as %q", typed, got)
		}
	}
}

func TestWays(t *testing.T) {
	for _, test := range []struct {
		names string
		at    port
		want  string
	}{
		{"a.example", portFree, "standalone webroot dns manual"},
		{"a.example", portTaken, "webroot standalone dns manual"},
		{"a.example", portForbidden, "webroot standalone dns manual"},
		{"a.example *.a.example", portFree, "dns manual"},
		{"192.0.2.7", portFree, "standalone webroot manual"},
		{"192.0.2.7 a.example", portTaken, "webroot standalone manual"},
	} {
		var ids []acme.Identifier
		for name := range strings.FieldsSeq(test.names) {
			ids = append(ids, acme.IdentifierFor(name))
		}
		var got []string
		for _, w := range ways(ids, test.at, 80) {
			got = append(got, w.name)
			blocked := w.name == "standalone" && test.at != portFree || w.name == "webroot" && test.at == portFree
			if (w.obstacle != "") != blocked {
				t.Errorf("%s, %d: obstacle %q of %s", test.names, test.at, w.obstacle, w.name)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s, %d: %q", test.names, test.at, got)
		}
	}
	listener := listenOn(t, "0")
	defer listener.Close()
	_, number, _ := strings.Cut(listener.Addr().String(), "]:")
	var taken int
	_ = json.Unmarshal([]byte(number), &taken)
	if got := lookAt(t.Context(), "", taken); got != portTaken {
		t.Errorf("a port that is taken looks like %d", got)
	}
}

func TestGuessWebroot(t *testing.T) {
	there := []string{"/var/www/html", "/srv/www/a.example", "/"}
	exists := func(path string) bool { return slices.Contains(there, path) }
	for name, want := range map[string]string{"a.example": "/srv/www/a.example", "b.example": "/var/www/html"} {
		if got := guessWebroot(name, exists); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := guessWebroot("a.example", func(string) bool { return false }); got != "" {
		t.Errorf("nothing is there, but %q", got)
	}
}

func TestGuessReload(t *testing.T) {
	run := t.TempDir()
	make := func(name string) {
		path := filepath.Join(run, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct{ made, want string }{
		{"other.pid", ""}, {"haproxy.pid", ""}, {"httpd/httpd.pid", "apachectl graceful"}, {"nginx.pid", "nginx -s reload"}, {"systemd/system/x", "systemctl reload nginx"},
	} {
		make(step.made)
		if got := guessReload(run); got != step.want {
			t.Errorf("with %s: %q", step.made, got)
		}
	}
	for command, want := range map[string]string{"none": "", "None": "", "true": "true", "'sh' -c 'x y'": "'sh' -c 'x y'"} {
		if got, err := checkReload(command); err != nil || got != want {
			t.Errorf("%q: %q, %v", command, got, err)
		}
	}
	for _, command := range []string{"", "/nonexistent/reload nginx", "nosuchprogram"} {
		if got, err := checkReload(command); err == nil {
			t.Errorf("%q is taken as %q", command, got)
		}
	}
}

func TestContinuedCommandIsOne(t *testing.T) {
	for _, word := range []string{"a.example", "*.a.example", "it's", "", "/a b/c", "$HOME", "you+x@example.org", "ü"} {
		got := shellWords(t, quote(word))
		if !slices.Equal(got, []string{word}) {
			t.Errorf("%q is %q to a shell", word, got)
		}
	}
	pieces := []string{"cairnbot certonly -n"}
	for range 20 {
		pieces = append(pieces, "-d www.example.org")
	}
	command := continued(pieces)
	if got := shellWords(t, command); len(got) != 3+2*20 {
		t.Errorf("%d words in %s", len(got), command)
	}
	for line := range strings.Lines(command) {
		if len(line) > 80 {
			t.Errorf("too long: %q", line)
		}
	}
}

func TestProofOptions(t *testing.T) {
	for _, test := range []struct {
		params lineage.Params
		want   string
	}{
		{lineage.Params{Authenticator: "standalone"}, "--standalone -d a.example -d '*.b.example'"},
		{lineage.Params{Authenticator: "webroot", WebrootMap: []lineage.Webroot{{Name: "a.example", Path: "/w w"}, {Name: "*.b.example", Path: "/w w"}}},
			"--webroot -w '/w w' -d a.example -d '*.b.example'"},
		{lineage.Params{Authenticator: "dns-cloudflare", Plugin: map[string]string{"dns_cloudflare_credentials": "/k.ini"}},
			"--dns cloudflare --dns-cloudflare-credentials /k.ini -d a.example -d '*.b.example'"},
		{lineage.Params{Authenticator: "dns-httpreq", Plugin: map[string]string{"dns_httpreq_credentials": "/k.ini"}},
			"--dns httpreq --dns-credentials /k.ini -d a.example -d '*.b.example'"},
		{lineage.Params{Authenticator: "manual"}, "--manual -d a.example -d '*.b.example'"},
	} {
		s := &settings{params: test.params}
		if got := strings.Join(proofOptions(s, []string{"a.example", "*.b.example"}), " "); got != test.want {
			t.Errorf("%s", got)
		}
		if _, _, err := (process{}).parse(append([]string{"certonly"}, shellWords(t, test.want)...)); err != nil {
			t.Errorf("%s: %v", test.want, err)
		}
		if s.describeMethod() == "" {
			t.Errorf("%s has no description", test.params.Authenticator)
		}
	}
}

// person types text at an app of its own.
func person(text string, o *options) (*app, *bytes.Buffer) {
	var out bytes.Buffer
	return &app{options: o, log: slog.New(slog.DiscardHandler), ask: ask.New(ask.Config{In: strings.NewReader(text), Out: &out, Terminal: true})}, &out
}

func TestEFFQuestion(t *testing.T) {
	for _, test := range []struct {
		who   newcomer
		said  map[string]bool // what the options say
		typed string
		asked bool
		want  bool
	}{
		{newcomer{server: defaultServer, email: "you@example.org"}, nil, "y\n", true, true},
		{newcomer{server: defaultServer, email: "you@example.org"}, nil, "\n", true, false},
		{newcomer{server: defaultServer}, nil, "y\n", false, false},
		{newcomer{server: "https://ca.internal/directory", email: "you@example.org"}, nil, "y\n", false, false},
		{newcomer{server: stagingServer, email: "you@example.org"}, nil, "y\n", false, false},
		{newcomer{server: "https://ca.internal/directory", email: "you@example.org"}, map[string]bool{"eff-email": true}, "", false, true},
		{newcomer{server: defaultServer}, map[string]bool{"eff-email": true}, "", false, false},
		{newcomer{server: defaultServer, email: "you@example.org"}, map[string]bool{"eff-email": false}, "y\n", false, false},
	} {
		o := newOptions()
		o.given = make(map[string]bool)
		for name, value := range test.said {
			o.given[name], o.effEmail = true, value
		}
		a, out := person(test.typed, o)
		got, err := a.askEFF(t.Context(), &test.who)
		if err != nil || got != test.want || (out.Len() > 0) != test.asked {
			t.Errorf("%+v: %v, %v, %s", test, got, err, out)
		}
		if test.asked && !strings.Contains(out.String(), "Electronic Frontier Foundation") {
			t.Errorf("%s", out)
		}
	}
}

func TestEFFIsTold(t *testing.T) {
	s := newStation(t)
	var told []string
	form := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		told = append(told, r.PostForm.Get("email"))
		_, _ = w.Write([]byte(`{"status": true}`))
	}))
	defer form.Close()
	certonly := func(args ...string) string {
		var out bytes.Buffer
		argv := append(s.ca("certonly", "-n", "--standalone"), "--config-dir", s.path("etc"), "--work-dir", s.path("lib"), "--logs-dir", s.path("log"))
		run(t.Context(), append(argv, args...), process{out: &out, err: &out, getenv: func(string) string { return "" }, eff: form.URL})
		return out.String()
	}
	meta := func() string {
		files, _ := filepath.Glob(s.path("etc/accounts/*/*/*/meta.json"))
		if len(files) != 1 {
			t.Fatal(files)
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	// Not before there is a certificate, and until then the account remembers, as certbot's do.
	certonly("-d", "blocked-domain.example", "--agree-tos", "-m", "you@mail.example", "--eff-email")
	if len(told) > 0 || !strings.Contains(meta(), `"register_to_eff":"you@mail.example"`) {
		t.Errorf("told %q, %s", told, meta())
	}
	if out := certonly("-d", "a.example"); !reflect.DeepEqual(told, []string{"you@mail.example"}) || strings.Contains(meta(), "register_to_eff") {
		t.Errorf("told %q, %s, %s", told, meta(), out)
	}
	certonly("-d", "b.example")
	if len(told) != 1 {
		t.Errorf("told %q", told)
	}
}

func TestTheCAMayRefuseAnAddress(t *testing.T) {
	refusing := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Replay-Nonce", "bm9uY2U")
		switch {
		case r.URL.Path != "/account":
			w.Header().Set("Content-Type", "application/json")
			base := "https://" + r.Host
			_ = json.NewEncoder(w).Encode(map[string]any{"newNonce": base + "/nonce", "newAccount": base + "/account", "newOrder": base + "/orders"})
		default:
			var jws struct{ Payload string }
			_ = json.NewDecoder(r.Body).Decode(&jws)
			if !strings.Contains(payload(jws.Payload), "good@mail.example") {
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(http.StatusBadRequest)
				_, _ = w.Write([]byte(`{"type": "urn:ietf:params:acme:error:invalidContact", "detail": "no such domain"}`))
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Location", "https://"+r.Host+"/one")
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte(`{"status": "valid"}`))
		}
	}))
	defer refusing.Close()
	directory := t.TempDir()
	if err := os.WriteFile(filepath.Join(directory, "ca.pem"), certificatePEM(refusing), 0o600); err != nil {
		t.Fatal(err)
	}
	for typed, want := range map[string]int{"good@mail.example\n": exitOK, "\x63\n": exitFailed, "": exitFailed} {
		var out bytes.Buffer
		code := run(t.Context(), []string{"register", "-m", "bad@mail.example", "--force-interactive", "--server", refusing.URL + "/dir", "--ca-bundle", filepath.Join(directory, "ca.pem"),
			"--config-dir", t.TempDir(), "--work-dir", t.TempDir(), "--logs-dir", t.TempDir()},
			process{in: strings.NewReader(typed), out: &out, err: &out, getenv: func(string) string { return "" }})
		if code != want || !strings.Contains(out.String(), "There is a problem with your email address. The CA says: no such domain") {
			t.Errorf("%q: exit code %d, %s", typed, code, out.String())
		}
	}
}
