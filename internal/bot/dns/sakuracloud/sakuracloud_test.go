package sakuracloud_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/sakuracloud"
	"github.com/cairn-ca/cairn/internal/bot/dns/txt"
)

// service is Sakura Cloud, with lists of two elements a page.
type service struct {
	*httptest.Server
	mu      sync.Mutex
	zones   []string                    // ID NAME
	records map[string][]map[string]any // by ID
	changes int                         // hashes of settings count them
	faster  int                         // changes that somebody else is faster with
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{zones: []string{"1 other.test", "2 dyn.test", "3 sub.dyn.test"}, records: make(map[string][]map[string]any)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /commonserviceitem", s.list)
	mux.HandleFunc("GET /commonserviceitem/{id}", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"is_ok": true, "CommonServiceItem": s.item(r.PathValue("id"))})
	})
	mux.HandleFunc("PUT /commonserviceitem/{id}", s.put)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if user, password, ok := r.BasicAuth(); !ok || user != "token" || password != "good-secret" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"is_fatal": true, "status": "401 Unauthorized", "error_code": "unauthorized", "error_msg": "error-unauthorized"}`)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) item(id string) map[string]any {
	for _, zone := range s.zones {
		if fields := strings.Fields(zone); fields[0] == id {
			return map[string]any{"ID": id, "Name": "a label", "Provider": map[string]string{"Class": "dns"}, "Status": map[string]any{"Zone": fields[1], "NS": []string{"ns1"}},
				"Settings": map[string]any{"DNS": map[string]any{"ResourceRecordSets": s.records[id], "Other": 1}}, "SettingsHash": fmt.Sprint(s.changes)}
		}
	}
	return nil
}

func (s *service) list(w http.ResponseWriter, r *http.Request) {
	query, _ := url.PathUnescape(r.URL.RawQuery)
	var ask struct {
		Filter map[string]string
		From   int
	}
	if err := json.Unmarshal([]byte(query), &ask); err != nil || ask.Filter["Provider.Class"] != "dns" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	list := []any{}
	for _, zone := range s.zones[ask.From:min(ask.From+2, len(s.zones))] {
		list = append(list, s.item(strings.Fields(zone)[0]))
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"From": ask.From, "Count": len(list), "Total": len(s.zones), "CommonServiceItems": list})
}

func (s *service) put(w http.ResponseWriter, r *http.Request) {
	if s.faster > 0 {
		s.faster--
		s.changes++
	}
	var body struct {
		CommonServiceItem struct {
			Settings struct {
				DNS struct {
					ResourceRecordSets []map[string]any
					Other              int
				}
			}
			SettingsHash string
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.CommonServiceItem.Settings.DNS.Other != 1 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if body.CommonServiceItem.SettingsHash != fmt.Sprint(s.changes) {
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, `{"error_msg": "settings have changed"}`)
		return
	}
	s.changes++
	s.records[r.PathValue("id")] = body.CommonServiceItem.Settings.DNS.ResourceRecordSets
	_, _ = io.WriteString(w, `{"is_ok": true}`)
}

func (s *service) start(t *testing.T, secret string) *sakuracloud.Provider {
	t.Helper()
	p, err := sakuracloud.New(sakuracloud.Config{Token: "token", Secret: secret, Endpoint: s.URL})
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

func TestOtherRecordsAreKept(t *testing.T) {
	s := newService(t)
	theirs := `[{"Name":"www","RData":"192.0.2.1","Type":"A"},{"Name":"_acme-challenge.www","New":[1],"RData":"theirs","TTL":3600,"Type":"TXT"}]`
	var records []map[string]any
	must(t, json.Unmarshal([]byte(theirs), &records))
	s.records["3"] = records
	p := s.start(t, "good-secret")
	s.faster = 2
	for _, value := range []string{"one", "two", "two"} {
		must(t, p.Add(t.Context(), dns.Record{Name: name, Value: value}))
	}
	got, _ := json.Marshal(s.records["3"])
	want := theirs[:len(theirs)-1] + `,{"Name":"_acme-challenge.www","RData":"one","TTL":60,"Type":"TXT"},{"Name":"_acme-challenge.www","RData":"two","TTL":60,"Type":"TXT"}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, value := range []string{"one", "two", "two"} {
		must(t, p.Remove(t.Context(), dns.Record{Name: name, Value: value}))
	}
	if got, _ := json.Marshal(s.records["3"]); string(got) != theirs {
		t.Errorf("left %s", got)
	}
	must(t, p.Add(t.Context(), dns.Record{Name: "dyn.test.", Value: "apex"}))
	if got := s.records["2"]; len(got) != 1 || got[0]["Name"] != "@" {
		t.Errorf("made %v", got)
	}
	s.faster = 10
	if err := p.Add(t.Context(), dns.Record{Name: name, Value: "never"}); err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("got %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	s := newService(t)
	p := s.start(t, "good-secret")
	var wait sync.WaitGroup
	for i := range 10 {
		wait.Go(func() {
			if err := p.Add(t.Context(), dns.Record{Name: name, Value: fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	var values []string
	for _, one := range s.records["3"] {
		values = append(values, one["RData"].(string))
	}
	if slices.Sort(values); strings.Join(values, "") != "0123456789" {
		t.Errorf("got %q", values)
	}
}

func TestRefusals(t *testing.T) {
	s := newService(t)
	if err := s.start(t, "good-secret").Add(t.Context(), dns.Record{Name: "_acme-challenge.elsewhere.example.", Value: "x"}); !errors.Is(err, txt.ErrNoZone) {
		t.Errorf("got %v", err)
	}
	err := s.start(t, "wrong-secret").Remove(t.Context(), dns.Record{Name: name, Value: "x"})
	if err == nil || !strings.Contains(err.Error(), "error-unauthorized (check token and secret") || strings.Contains(err.Error(), "wrong-secret") {
		t.Errorf("got %v", err)
	}
	for _, values := range []map[string]string{{}, {"api_token": "x"}, {"api_token": "x", "api_secret": "y", "endpoint": "http://api.test"}} {
		if _, err := sakuracloud.Entry().New(dns.Settings{Values: values}); err == nil {
			t.Errorf("%v was accepted", values)
		}
	}
}
