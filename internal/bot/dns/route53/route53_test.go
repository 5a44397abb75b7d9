package route53_test

import (
	"encoding/xml"
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
	"testing/synctest"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/aws"
	"github.com/cairn-ca/cairn/internal/bot/dns/route53"
	"github.com/cairn-ca/cairn/internal/bot/dns/txt"
)

var keys = aws.Credentials{AccessKey: "AKID", Secret: "the secret key", Token: "token"}

// service is Route 53, as far as it is documented and needed.
type service struct {
	mu     sync.Mutex
	zones  []string            // ID NAME PRIVATE
	sets   map[string][]string // by ID and name: values, in quotation marks
	ttl    map[string]int
	deny   []string // actions that the policy does not allow
	busy   int      // refusals for load before the next change is taken
	polls  int      // of a change, before it is INSYNC
	forged bool     // a signature was wrong
}

type request struct {
	Action string `xml:"ChangeBatch>Changes>Change>Action"`
	Set    struct {
		Name, Type string
		TTL        int
		Values     []string `xml:"ResourceRecords>ResourceRecord>Value"`
	} `xml:"ChangeBatch>Changes>Change>ResourceRecordSet"`
}

func newService() *service {
	return &service{sets: make(map[string][]string), ttl: make(map[string]int), zones: []string{
		"ZOTHER other.test. false", "ZPRIVATE sub.dyn.test. true", "ZTOP dyn.test. false", "ZSUB sub.dyn.test. false", "ZPRIVATE2 dyn.test. true",
	}}
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	if !s.signed(r, body) {
		s.forged = true
		refuse(w, 403, "SignatureDoesNotMatch", "the request signature we calculated does not match")
		return
	}
	place := strings.Split(strings.TrimPrefix(r.URL.Path, "/2013-04-01/"), "/")
	action := map[string]string{"hostedzone1": "ListHostedZones", "hostedzonesbyname1": "ListHostedZonesByName", "hostedzone3": "ListResourceRecordSets",
		"hostedzone4": "ChangeResourceRecordSets", "change2": "GetChange"}[place[0]+strconv.Itoa(len(place))]
	switch {
	case slices.Contains(s.deny, action):
		refuse(w, 403, "AccessDenied", "User is not authorized to perform: route53:"+action)
	case action == "ListHostedZones":
		s.list(w, r)
	case action == "ListHostedZonesByName":
		s.listByName(w, r)
	case action == "ListResourceRecordSets":
		s.read(w, place[1], r)
	case action == "ChangeResourceRecordSets":
		s.change(w, place[1], body)
	case action == "GetChange":
		s.polls--
		status := "PENDING"
		if s.polls < 0 {
			status = "INSYNC"
		}
		_, _ = fmt.Fprintf(w, "<GetChangeResponse><ChangeInfo><Id>/change/%s</Id><Status>%s</Status></ChangeInfo></GetChangeResponse>", place[1], status)
	default:
		refuse(w, 404, "NoSuchThing", r.URL.Path)
	}
}

// signed signs what has arrived once more, and compares.
func (s *service) signed(r *http.Request, body []byte) bool {
	got, when := r.Header.Get("Authorization"), r.Header.Get("X-Amz-Date")
	now, err := time.Parse("20060102T150405Z", when)
	if err != nil {
		return false
	}
	again := r.Clone(r.Context())
	aws.Sign(again, body, keys, aws.Scope{Region: "us-east-1", Service: "route53"}, now)
	return again.Header.Get("Authorization") == got && strings.Contains(got, "content-type") == (r.Method == "POST")
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `<?xml version="1.0"?><ErrorResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`, code, message)
}

func zoneXML(zone string) string {
	fields := strings.Fields(zone)
	return fmt.Sprintf("<HostedZone><Id>/hostedzone/%s</Id><Name>%s</Name><Config><PrivateZone>%s</PrivateZone></Config></HostedZone>", fields[0], fields[1], fields[2])
}

// list has two zones on a page, however many are asked for.
func (s *service) list(w http.ResponseWriter, r *http.Request) {
	begin, _ := strconv.Atoi(r.URL.Query().Get("marker"))
	end := min(begin+2, len(s.zones))
	var b strings.Builder
	for _, zone := range s.zones[begin:end] {
		b.WriteString(zoneXML(zone))
	}
	_, _ = fmt.Fprintf(w, "<ListHostedZonesResponse><HostedZones>%s</HostedZones><IsTruncated>%t</IsTruncated><NextMarker>%d</NextMarker></ListHostedZonesResponse>", &b, end < len(s.zones), end)
}

func (s *service) listByName(w http.ResponseWriter, r *http.Request) {
	var b strings.Builder
	for _, zone := range s.zones { // the list begins at the name, and goes on
		if strings.Fields(zone)[1] >= r.URL.Query().Get("dnsname") {
			b.WriteString(zoneXML(zone))
		}
	}
	_, _ = fmt.Fprintf(w, "<ListHostedZonesByNameResponse><HostedZones>%s</HostedZones></ListHostedZonesByNameResponse>", &b)
}

func (s *service) read(w http.ResponseWriter, zone string, r *http.Request) {
	var b strings.Builder
	name := r.URL.Query().Get("name")
	if _, ok := s.sets[zone+" "+name]; !ok {
		name = "zzz." + name // what follows in the zone
		s.sets[zone+" "+name], s.ttl[zone+" "+name] = []string{`"another's"`}, 1
	}
	for _, value := range s.sets[zone+" "+name] {
		b.WriteString("<ResourceRecord><Value>")
		_ = xml.EscapeText(&b, []byte(value))
		b.WriteString("</Value></ResourceRecord>")
	}
	_, _ = fmt.Fprintf(w, "<ListResourceRecordSetsResponse><ResourceRecordSets><ResourceRecordSet><Name>%s</Name><Type>TXT</Type><TTL>%d</TTL><ResourceRecords>%s</ResourceRecords></ResourceRecordSet></ResourceRecordSets></ListResourceRecordSetsResponse>",
		name, s.ttl[zone+" "+name], &b)
}

func (s *service) change(w http.ResponseWriter, zone string, body []byte) {
	var change request
	if err := xml.Unmarshal(body, &change); err != nil || change.Set.Type != "TXT" || !strings.Contains(string(body), `xmlns="https://route53.amazonaws.com/doc/2013-04-01/"`) {
		refuse(w, 400, "MalformedInput", "Unexpected input")
		return
	}
	if s.busy > 0 {
		s.busy--
		refuse(w, 400, "Throttling", "Rate exceeded")
		return
	}
	key := zone + " " + change.Set.Name
	switch change.Action {
	case "UPSERT":
		s.sets[key], s.ttl[key] = change.Set.Values, change.Set.TTL
	case "DELETE":
		if !slices.Equal(s.sets[key], change.Set.Values) || s.ttl[key] != change.Set.TTL {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `<InvalidChangeBatch xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Messages><Message>Tried to delete resource record set but it was not found</Message></Messages></InvalidChangeBatch>`)
			return
		}
		delete(s.sets, key)
	}
	_, _ = io.WriteString(w, "<ChangeResourceRecordSetsResponse><ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status></ChangeInfo></ChangeResourceRecordSetsResponse>")
}

func (s *service) values(zone, name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []string{}
	for _, value := range s.sets[zone+" "+name] {
		list = append(list, txt.Unquote(value))
	}
	slices.Sort(list)
	return list
}

func start(t *testing.T, s *service, config route53.Config) *route53.Provider {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	config.Endpoint, config.AWS.Given = server.URL, keys
	p, err := route53.New(config)
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
	s := newService()
	s.sets["ZSUB "+name], s.ttl["ZSUB "+name] = []string{`"theirs"`, `"with \"quotes\" & <b>"`}, 300
	p := start(t, s, route53.Config{})
	long := `ca.test; accounturi=https://ca.test/"x"\1<&; ` + strings.Repeat("y", 300)
	for _, value := range []string{"one", "one", long} {
		must(t, p.Add(t.Context(), dns.Record{Name: name, Value: value}))
	}
	if got := s.values("ZSUB", name); !slices.Equal(got, []string{long, "one", "theirs", `with "quotes" & <b>`}) {
		t.Errorf("got %q", got)
	}
	for _, value := range []string{"one", "one", long} {
		must(t, p.Remove(t.Context(), dns.Record{Name: name, Value: value}))
	}
	if got := s.values("ZSUB", name); !slices.Equal(got, []string{"theirs", `with "quotes" & <b>`}) {
		t.Errorf("left %q", got)
	}
	if s.forged {
		t.Error("what was signed is not what was sent")
	}
}

func TestTheLastValueTakesTheSetWithIt(t *testing.T) {
	s := newService()
	p := start(t, s, route53.Config{})
	record := dns.Record{Name: "_acme-challenge.dyn.test.", Value: "one", TTL: 77 * time.Second}
	must(t, p.Add(t.Context(), record))
	if s.ttl["ZTOP "+record.Name] != 77 {
		t.Errorf("TTL %d", s.ttl["ZTOP "+record.Name])
	}
	again := start(t, s, route53.Config{}) // another process
	must(t, again.Remove(t.Context(), dns.Record{Name: record.Name, Value: "one"}))
	if _, ok := s.sets["ZTOP "+record.Name]; ok {
		t.Error("an empty set was left")
	}
}

// TestPolicies: what certbot's and lego's users allow.
func TestPolicies(t *testing.T) {
	for _, deny := range [][]string{{"ListResourceRecordSets"}, {"ListHostedZones", "GetChange"}, {"ListResourceRecordSets", "ListHostedZones"}} {
		s := newService()
		s.deny = deny
		p := start(t, s, route53.Config{})
		for _, value := range []string{"one", "two", "two"} {
			must(t, p.Add(t.Context(), dns.Record{Name: name, Value: value}))
		}
		if got := s.values("ZSUB", name); !slices.Equal(got, []string{"one", "two"}) {
			t.Errorf("without %q: got %q", deny, got)
		}
		for _, value := range []string{"one", "two", "two"} {
			must(t, p.Remove(t.Context(), dns.Record{Name: name, Value: value}))
		}
		if got := s.values("ZSUB", name); len(got) != 0 {
			t.Errorf("without %q: left %q", deny, got)
		}
		must(t, p.Settle(t.Context()))
	}
	s := newService()
	s.deny = []string{"ListHostedZones", "ListHostedZonesByName"}
	err := start(t, s, route53.Config{}).Add(t.Context(), dns.Record{Name: name, Value: "x"})
	if err == nil || !strings.Contains(err.Error(), "the policy must allow route53:ListHostedZones") || strings.Contains(err.Error(), keys.Secret) {
		t.Errorf("got %v", err)
	}
}

func TestZones(t *testing.T) {
	s := newService()
	must(t, start(t, s, route53.Config{Private: true}).Add(t.Context(), dns.Record{Name: name, Value: "private"}))
	must(t, start(t, s, route53.Config{Zone: "/hostedzone/ZOTHER"}).Add(t.Context(), dns.Record{Name: name, Value: "given"}))
	if got := append(s.values("ZPRIVATE", name), s.values("ZOTHER", name)...); !slices.Equal(got, []string{"private", "given"}) {
		t.Errorf("got %q", got)
	}
	err := start(t, s, route53.Config{}).Add(t.Context(), dns.Record{Name: "_acme-challenge.elsewhere.example.", Value: "x"})
	if !errors.Is(err, txt.ErrNoZone) || !strings.Contains(err.Error(), "among 3 public") {
		t.Errorf("got %v", err)
	}
	for _, config := range []route53.Config{{Zone: "Z1?x"}, {Endpoint: "http://route53.example"}, {AWS: aws.Config{Region: "x"}}} {
		if _, err := route53.New(config); err == nil {
			t.Errorf("%+v was accepted", config)
		}
	}
}

func TestThrottled(t *testing.T) {
	s := newService()
	s.busy = 1
	must(t, start(t, s, route53.Config{}).Add(t.Context(), dns.Record{Name: name, Value: "one"}))
	if got := s.values("ZSUB", name); !slices.Equal(got, []string{"one"}) {
		t.Errorf("got %q", got)
	}
}

// handler answers without a network, whose time would not be that of the bubble.
type handler struct{ http.Handler }

func (h handler) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	h.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		s.polls = 10
		p, err := route53.New(route53.Config{AWS: aws.Config{Given: keys, HTTP: &http.Client{Transport: handler{s}}}})
		if err != nil {
			t.Fatal(err)
		}
		must(t, p.Add(t.Context(), dns.Record{Name: name, Value: "one"}))
		begin := time.Now()
		must(t, p.Settle(t.Context()))
		if took := time.Since(begin); took != 30*time.Second {
			t.Errorf("waited for %s", took)
		}
		must(t, p.Settle(t.Context())) // nothing is pending any more
	})
}

func TestEntry(t *testing.T) {
	for values, good := range map[string]bool{"": true, "private_zone=True": true, "private_zone=perhaps": false, "access_key_id=x": false, "hosted_zone_id=../x": false, "endpoint=http://x.test": false} {
		key, value, _ := strings.Cut(values, "=")
		if _, err := route53.Entry().New(dns.Settings{Values: map[string]string{key: value}}); (err == nil) != good {
			t.Errorf("%s: %v", values, err)
		}
	}
}
