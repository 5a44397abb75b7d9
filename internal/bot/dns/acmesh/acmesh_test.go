//go:build unix

package acmesh_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/acmesh"
)

// record is one record of the service that testdata/dns_example.sh is for.
type record struct {
	ID    int    `json:"id"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

type service struct {
	*httptest.Server
	mu      sync.Mutex
	records []record
	next    int
	tokens  []string
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{}
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", r.Method)
		_, _ = fmt.Fprintf(w, "%s %s", r.Method, body)
	})
	mux.HandleFunc("GET /zones/{zone}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("zone") != "dyn.test" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"error":"no such zone"}`)
			return
		}
		_, _ = io.WriteString(w, `{"name":"dyn.test"}`)
	})
	mux.HandleFunc("/zones/dyn.test/records", s.zone)
	mux.HandleFunc("DELETE /zones/dyn.test/records/{id}", func(_ http.ResponseWriter, r *http.Request) {
		s.records = slices.DeleteFunc(s.records, func(one record) bool { return strconv.Itoa(one.ID) == r.PathValue("id") })
	})
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
			s.tokens = append(s.tokens, token)
			if got := r.Header.Get("X-Quoted"); got != "a \"b\" \\c $(id) `id`" {
				t.Errorf("the header arrived as %s", got)
			}
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) zone(w http.ResponseWriter, r *http.Request) {
	if r.Method == "GET" {
		_ = json.NewEncoder(w).Encode(s.records)
		return
	}
	var one record
	if err := json.NewDecoder(r.Body).Decode(&one); err != nil || one.Value == "refused" {
		_, _ = io.WriteString(w, `{"ok":false,"why":"I do not like it"}`)
		return
	}
	s.next++
	one.ID = s.next
	s.records = append(s.records, one)
	_, _ = io.WriteString(w, `{"ok":true}`)
}

func (s *service) values() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []string{}
	for _, one := range s.records {
		list = append(list, one.Name+"="+one.Value)
	}
	return strings.Join(list, " ")
}

const account = "LOG_FILE='x'\nSAVED_THEIRS='from acme.sh'\nSAVED_B64='__ACME_BASE64__START_ZW5jb2RlZA==__ACME_BASE64__END_'\n"

// home is a directory as acme.sh has it, with the script for the given shell.
func home(t *testing.T, shell string) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("testdata/dns_example.sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "dnsapi"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"account.conf": account, "dnsapi/dns_example.sh": strings.Replace(string(text), "env sh", "env "+shell, 1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func provider(t *testing.T, entry dns.Entry, values map[string]string) dns.Provider {
	t.Helper()
	p, err := entry.New(dns.Settings{Values: values})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

const name = "_acme-challenge.www.dyn.test."

func TestScripts(t *testing.T) {
	for _, shell := range []string{"sh", "bash"} {
		t.Run(shell, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			s, dir := newService(t), home(t, shell)
			p := provider(t, acmesh.EntryFor("dns_example"), map[string]string{"home": dir, "EXAMPLE_Token": `t"o\k'en $(id)`, "EXAMPLE_Api": s.URL})
			for _, value := range []string{"one", "-two_"} {
				must(t, p.Add(t.Context(), dns.Record{Name: name, Value: value}))
			}
			if got := s.values(); got != "_acme-challenge.www=one _acme-challenge.www=-two_" {
				t.Errorf("have %s", got)
			}
			for _, value := range []string{"one", "one", "-two_"} {
				must(t, p.Remove(t.Context(), dns.Record{Name: name, Value: value}))
			}
			if got := s.values(); got != "" {
				t.Errorf("left %s", got)
			}
			if slices.Sort(s.tokens); s.tokens[0] != `t"o\k'en $(id)` || s.tokens[len(s.tokens)-1] != s.tokens[0] {
				t.Errorf("tokens arrived as %q", slices.Compact(s.tokens))
			}
			if text, err := os.ReadFile(filepath.Join(dir, "account.conf")); err != nil || string(text) != account {
				t.Errorf("acme.sh's own settings are now %s", text)
			}
			if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

// TestSavedSettingsLast: what one run saves, the next one has.
func TestSavedSettingsLast(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "dns_saving.sh")
	text := "dns_saving_add() {\n\t[ -z \"$(_readaccountconf_mutable COUNT)\" ] || { _err again; return 1; }\n\t_saveaccountconf_mutable COUNT 1\n}\n"
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := acmesh.New(acmesh.Config{Script: script})
	if err != nil {
		t.Fatal(err)
	}
	record := dns.Record{Name: name, Value: "x"}
	must(t, p.Add(t.Context(), record))
	if err := p.Add(t.Context(), record); err == nil || !strings.Contains(err.Error(), "again") {
		t.Errorf("got %v", err)
	}
	if err := p.Remove(t.Context(), record); err == nil || !strings.Contains(err.Error(), "has no function dns_saving_rm") {
		t.Errorf("got %v", err)
	}
}

func TestFailures(t *testing.T) {
	s, dir := newService(t), home(t, "sh")
	values := map[string]string{"home": dir, "EXAMPLE_Token": "secret-token", "EXAMPLE_Api": s.URL}
	err := provider(t, acmesh.EntryFor("dns_example"), values).Add(t.Context(), dns.Record{Name: name, Value: "refused"})
	if err == nil || !strings.Contains(err.Error(), "I do not like it") || strings.Contains(err.Error(), "secret-token") {
		t.Errorf("got %v", err)
	}
	values["EXAMPLE_Token"] = ""
	err = provider(t, acmesh.EntryFor("dns_example"), values).Add(t.Context(), dns.Record{Name: name, Value: "x"})
	if err == nil || !strings.Contains(err.Error(), "EXAMPLE_Token is not set.") {
		t.Errorf("got %v", err)
	}
	for _, hostile := range []string{"$(touch x).dyn.test.", "a;b.dyn.test.", "a'b.dyn.test."} {
		if err := provider(t, acmesh.EntryFor("dns_example"), values).Add(t.Context(), dns.Record{Name: hostile, Value: "x"}); err == nil {
			t.Errorf("%s was accepted", hostile)
		}
	}
	slow := filepath.Join(dir, "dns_slow.sh")
	if err := os.WriteFile(slow, []byte("dns_slow_add() { sleep 60; }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := acmesh.New(acmesh.Config{Script: slow, Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Add(t.Context(), dns.Record{Name: name, Value: "x"}); err == nil || !strings.Contains(err.Error(), "longer than it may") {
		t.Errorf("got %v", err)
	}
}

func TestSettings(t *testing.T) {
	dir := home(t, "sh")
	for _, c := range []struct {
		entry  dns.Entry
		values map[string]string
		good   bool
	}{
		{acmesh.EntryFor("dns_example"), map[string]string{"home": dir}, true},
		{acmesh.EntryFor(dir + "/dnsapi/dns_example.sh"), nil, true},
		{acmesh.Entry(), map[string]string{"script": "dns_example", "directory": dir + "/dnsapi", "timeout": "30"}, true},
		{acmesh.Entry(), map[string]string{"directory": dir + "/dnsapi"}, false},
		{acmesh.EntryFor("dns_absent"), map[string]string{"home": dir}, false},
		{acmesh.EntryFor("../account.conf"), map[string]string{"home": dir}, false},
		{acmesh.EntryFor("dns_example;id"), map[string]string{"home": dir}, false},
		{acmesh.EntryFor("dns_example"), map[string]string{"home": dir, "timeout": "soon"}, false},
	} {
		if _, err := c.entry.New(dns.Settings{Values: c.values}); (err == nil) != c.good {
			t.Errorf("%s with %v: %v", c.entry.Name, c.values, err)
		}
	}
}
