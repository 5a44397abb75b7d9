package linode_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/linode"
	"github.com/cairn-ca/cairn/internal/bot/dns/txt"
)

// record is one record, as the service has it.
type record struct {
	ID     int    `json:"id"`
	Type   string `json:"type"`
	Name   string `json:"name"`
	Target string `json:"target"`
	TTL    int    `json:"ttl_sec"`
	domain string
}

// service is Linode, with lists of two elements a page.
type service struct {
	mu      sync.Mutex
	domains []map[string]any
	records []record
	next    int
}

const token = "the-token"

func newService(t *testing.T) (*service, *linode.Provider) {
	t.Helper()
	s := &service{next: 100, domains: []map[string]any{
		{"id": 1, "domain": "dyn.test", "type": "master"}, {"id": 2, "domain": "sub.dyn.test", "type": "master"},
		{"id": 3, "domain": "www.sub.dyn.test", "type": "slave"}, {"id": 4, "domain": "other.test", "type": "master"},
	}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v4/domains", func(w http.ResponseWriter, r *http.Request) {
		var filter struct {
			Or []struct{ Domain string } `json:"+or"`
		}
		if err := json.Unmarshal([]byte(r.Header.Get("X-Filter")), &filter); err != nil {
			refuse(w, 400, "Cannot filter")
			return
		}
		page(w, r, slices.DeleteFunc(slices.Clone(s.domains), func(domain map[string]any) bool {
			return !slices.ContainsFunc(filter.Or, func(one struct{ Domain string }) bool { return one.Domain == domain["domain"] })
		}))
	})
	mux.HandleFunc("GET /v4/domains/{domain}/records", func(w http.ResponseWriter, r *http.Request) {
		page(w, r, slices.DeleteFunc(slices.Clone(s.records), func(one record) bool { return one.domain != r.PathValue("domain") }))
	})
	mux.HandleFunc("POST /v4/domains/{domain}/records", func(w http.ResponseWriter, r *http.Request) {
		var one record
		if err := json.NewDecoder(r.Body).Decode(&one); err != nil || one.Type != "TXT" || one.TTL < 300 {
			refuse(w, 400, "Invalid record")
			return
		}
		s.next++
		one.ID, one.domain = s.next, r.PathValue("domain")
		s.records = append(s.records, one)
		_ = json.NewEncoder(w).Encode(one)
	})
	mux.HandleFunc("DELETE /v4/domains/{domain}/records/{id}", func(w http.ResponseWriter, r *http.Request) {
		before := len(s.records)
		s.records = slices.DeleteFunc(s.records, func(one record) bool { return strconv.Itoa(one.ID) == r.PathValue("id") })
		if len(s.records) == before {
			refuse(w, 404, "Not found")
			return
		}
		_, _ = io.WriteString(w, "{}")
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer "+token {
			refuse(w, 401, "Invalid Token")
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return s, start(t, server.URL, token)
}

func start(t *testing.T, endpoint, token string) *linode.Provider {
	t.Helper()
	p, err := linode.New(linode.Config{Token: token, Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func refuse(w http.ResponseWriter, status int, reason string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"errors": [{"reason": %q}]}`, reason)
}

func page[T any](w http.ResponseWriter, r *http.Request, list []T) {
	number, _ := strconv.Atoi(r.FormValue("page"))
	begin := min((number-1)*2, len(list))
	_ = json.NewEncoder(w).Encode(map[string]any{"data": list[begin:min(begin+2, len(list))], "page": number, "pages": (len(list) + 1) / 2, "results": len(list)})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

const name = "_acme-challenge.www.sub.dyn.test."

func TestOtherValuesAreKept(t *testing.T) {
	s, p := newService(t)
	theirs := record{ID: 7, Type: "TXT", Name: "_acme-challenge.www", Target: "theirs", TTL: 300, domain: "2"}
	s.records = []record{theirs, {ID: 8, Type: "A", Name: "_acme-challenge.www", Target: "one", domain: "2"}, {ID: 9, Type: "TXT", Name: "x", Target: "one", domain: "2"}}
	for _, value := range []string{"one", "two", "two"} {
		must(t, p.Add(t.Context(), dns.Record{Name: name, Value: value}))
	}
	if got := s.records; len(got) != 5 || got[3].Name != "_acme-challenge.www" || got[3].Target != "one" || got[3].domain != "2" || got[4].Target != "two" {
		t.Errorf("have %+v", got)
	}
	for _, value := range []string{"one", "two", "two"} {
		must(t, p.Remove(t.Context(), dns.Record{Name: name, Value: value}))
	}
	if len(s.records) != 3 || s.records[0] != theirs {
		t.Errorf("left %+v", s.records)
	}
	must(t, p.Add(t.Context(), dns.Record{Name: "dyn.test.", Value: "apex"}))
	if last := s.records[len(s.records)-1]; last.Name != "" || last.domain != "1" {
		t.Errorf("made %+v", last)
	}
}

func TestRefusals(t *testing.T) {
	_, p := newService(t)
	if err := p.Add(t.Context(), dns.Record{Name: "_acme-challenge.elsewhere.example.", Value: "x"}); !errors.Is(err, txt.ErrNoZone) {
		t.Errorf("got %v", err)
	}
	if err := p.Add(t.Context(), dns.Record{Name: "a/b.dyn.test.", Value: "x"}); err == nil {
		t.Error("a name that is none was accepted")
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { refuse(w, 401, "Invalid Token") }))
	t.Cleanup(server.Close)
	err := start(t, server.URL, "wrong-token").Remove(t.Context(), dns.Record{Name: name, Value: "x"})
	if err == nil || !strings.Contains(err.Error(), "Invalid Token (the token must exist") || strings.Contains(err.Error(), "wrong-token") {
		t.Errorf("got %v", err)
	}
	for _, values := range []map[string]string{{}, {"key": "a b"}, {"key": "x", "version": "3"}, {"key": "x", "endpoint": "http://api.test"}} {
		if _, err := linode.Entry().New(dns.Settings{Values: values}); err == nil {
			t.Errorf("%v was accepted", values)
		}
	}
}
