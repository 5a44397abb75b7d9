package dnsimple_test

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
	"github.com/cairn-ca/cairn/internal/bot/dns/dnsimple"
	"github.com/cairn-ca/cairn/internal/bot/dns/txt"
)

// record is one record, as the service has it.
type record struct {
	ID      int    `json:"id"`
	Zone    string `json:"zone_id"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	Content string `json:"content"`
	TTL     int    `json:"ttl"`
}

// service is DNSimple, with lists of two elements a page. Contents of TXT records come back in quotation marks.
type service struct {
	*httptest.Server
	mu      sync.Mutex
	zones   []string // ACCOUNT/ZONE
	records []record
	next    int
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{next: 100, zones: []string{"1/other.test", "2/dyn.test", "2/sub.dyn.test"}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/whoami", func(w http.ResponseWriter, r *http.Request) {
		account := "null"
		if r.Header.Get("Authorization") == "Bearer account-token" {
			account = `{"id": 2, "email": "x@y.test"}`
		}
		_, _ = fmt.Fprintf(w, `{"data": {"user": null, "account": %s}}`, account)
	})
	mux.HandleFunc("GET /v2/accounts", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"data": [{"id": 1}, {"id": 2}]}`)
	})
	mux.HandleFunc("GET /v2/{account}/zones/{zone}", s.zone(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"data": {"id": 1, "name": %q}}`, r.PathValue("zone"))
	}))
	mux.HandleFunc("GET /v2/{account}/zones/{zone}/records", s.zone(s.list))
	mux.HandleFunc("POST /v2/{account}/zones/{zone}/records", s.zone(func(w http.ResponseWriter, r *http.Request) {
		var one record
		if err := json.NewDecoder(r.Body).Decode(&one); err != nil || one.Type != "TXT" || one.TTL < 60 {
			refuse(w, 400, "Validation failed")
			return
		}
		s.next++
		one.ID, one.Zone, one.Content = s.next, r.PathValue("zone"), `"`+one.Content+`"`
		s.records = append(s.records, one)
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"data": one})
	}))
	mux.HandleFunc("DELETE /v2/{account}/zones/{zone}/records/{id}", s.zone(func(w http.ResponseWriter, r *http.Request) {
		s.records = slices.DeleteFunc(s.records, func(one record) bool { return strconv.Itoa(one.ID) == r.PathValue("id") })
		w.WriteHeader(http.StatusNoContent)
	}))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !slices.Contains([]string{"Bearer account-token", "Bearer user-token"}, r.Header.Get("Authorization")) {
			refuse(w, 401, "Authentication failed")
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"message": %q}`, message)
}

func (s *service) zone(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(s.zones, r.PathValue("account")+"/"+r.PathValue("zone")) {
			refuse(w, 404, "Zone `"+r.PathValue("zone")+"` not found")
			return
		}
		handler(w, r)
	}
}

func (s *service) list(w http.ResponseWriter, r *http.Request) {
	list := slices.DeleteFunc(slices.Clone(s.records), func(one record) bool {
		return one.Zone != r.PathValue("zone") || one.Name != r.FormValue("name") || one.Type != r.FormValue("type")
	})
	number, _ := strconv.Atoi(r.FormValue("page"))
	begin := min((number-1)*2, len(list))
	_ = json.NewEncoder(w).Encode(map[string]any{"data": list[begin:min(begin+2, len(list))], "pagination": map[string]int{"current_page": number, "total_pages": (len(list) + 1) / 2}})
}

func (s *service) start(t *testing.T, token string) *dnsimple.Provider {
	t.Helper()
	p, err := dnsimple.New(dnsimple.Config{Token: token, Endpoint: s.URL})
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

const name = "_acme-challenge.www.sub.dyn.test."

func TestOtherValuesAreKept(t *testing.T) {
	for _, token := range []string{"account-token", "user-token"} {
		s := newService(t)
		theirs := []record{{7, "sub.dyn.test", "_acme-challenge.www", "TXT", `"theirs"`, 60}, {8, "sub.dyn.test", "x", "TXT", `"one"`, 60}}
		s.records = slices.Clone(theirs)
		p := s.start(t, token)
		for _, value := range []string{"one", "two", "three", "three"} {
			must(t, p.Add(t.Context(), dns.Record{Name: name, Value: value}))
		}
		if len(s.records) != 5 || s.records[2].Name != "_acme-challenge.www" || s.records[2].Content != `"one"` {
			t.Errorf("have %+v", s.records)
		}
		for _, value := range []string{"one", "two", "three", "three"} {
			must(t, p.Remove(t.Context(), dns.Record{Name: name, Value: value}))
		}
		if !slices.Equal(s.records, theirs) {
			t.Errorf("left %+v", s.records)
		}
		must(t, p.Add(t.Context(), dns.Record{Name: "dyn.test.", Value: "apex"}))
		if last := s.records[len(s.records)-1]; last.Name != "" || last.Zone != "dyn.test" {
			t.Errorf("made %+v", last)
		}
	}
}

func TestRefusals(t *testing.T) {
	s := newService(t)
	if err := s.start(t, "user-token").Add(t.Context(), dns.Record{Name: "_acme-challenge.elsewhere.example.", Value: "x"}); !errors.Is(err, txt.ErrNoZone) {
		t.Errorf("got %v", err)
	}
	err := s.start(t, "wrong-token").Remove(t.Context(), dns.Record{Name: name, Value: "x"})
	if err == nil || !strings.Contains(err.Error(), "Authentication failed (the token must exist") || strings.Contains(err.Error(), "wrong-token") {
		t.Errorf("got %v", err)
	}
	for _, values := range []map[string]string{{}, {"token": "a b"}, {"token": "x", "base_url": "http://api.test"}} {
		if _, err := dnsimple.Entry().New(dns.Settings{Values: values}); err == nil {
			t.Errorf("%v was accepted", values)
		}
	}
}
