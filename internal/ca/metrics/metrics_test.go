package metrics_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/load"
	"github.com/cairn-ca/cairn/internal/ca/metrics"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// scrape is what Prometheus gets.
func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(w.Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s %v", w.Code, body, err)
	}
	return string(body)
}

// has checks that each line is in a scrape.
func has(t *testing.T, scraped string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(scraped, "\n"+line+"\n") {
			name, _, _ := strings.Cut(line, "{")
			t.Errorf("there is no line %q, but:", line)
			for got := range strings.Lines(scraped) {
				if strings.HasPrefix(got, name) {
					t.Log(strings.TrimSpace(got))
				}
			}
		}
	}
}

// TestCounted: what is recorded can be read, under the labels that the documentation names.
func TestCounted(t *testing.T) {
	end := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	asked := 0
	m := metrics.New(metrics.Config{Version: "v1.2", Profiles: []string{"classic"}, State: func() metrics.State {
		asked++
		return metrics.State{
			Requests: load.Level{Count: 3}, Transaction: load.Level{Count: 2, Oldest: time.Second}, Commits: 9, Nonces: 7, Connections: 5, Refused: 1,
			Work:     map[metrics.Stage]load.Level{metrics.Validation: {Count: 4, Oldest: time.Second}},
			Overdue:  map[metrics.Stage]time.Duration{metrics.Validation: 2 * time.Second},
			Lists:    []metrics.List{{Issuer: "1", Number: 12, Entries: 34, ThisUpdate: end, NextUpdate: end}},
			Expiries: []metrics.Expiry{{Owner: metrics.Root, ID: "root-1", At: end}},
			Checks:   map[string]bool{"ready": true, "health": false},
		}
	}})
	order := m.Resource("new-order")
	order.Answered("POST", 201, time.Millisecond)
	order.Answered("POST", 201, time.Millisecond)
	order.Answered("BREW", 999, time.Millisecond)
	m.Problem(acme.TypeCAA)
	m.Shed(metrics.ReasonWork)
	m.Limited(rules.Floods)
	m.Redeemed(true)
	m.Redeemed(false)
	m.Validated(metrics.MethodOf(acme.HTTP01), metrics.Local, metrics.OK, time.Second)
	m.Validated(metrics.CAA, "tokyo", metrics.Cancelled, time.Second)
	m.Issued("classic", metrics.OK)
	m.Issued("classic", metrics.Refused)
	m.Signed(metrics.CRL, metrics.Error, time.Second)
	m.Transacted(metrics.Update, metrics.Busy, 3, time.Second)
	m.Transacted(metrics.View, metrics.NoFault, 1, time.Second)
	has(t, scrape(t, m),
		`cairn_requests_total{method="POST",resource="new-order",status="2xx"} 2`,
		`cairn_requests_total{method="other",resource="new-order",status="other"} 1`,
		`cairn_request_seconds_count{resource="new-order"} 3`,
		`cairn_problems_total{type="caa"} 1`,
		`cairn_requests_shed_total{reason="work"} 1`,
		`cairn_rate_limited_total{limit="floods"} 1`,
		`cairn_nonces_redeemed_total{good="true"} 1`,
		`cairn_nonces_redeemed_total{good="false"} 1`,
		`cairn_validations_total{method="http-01",outcome="ok",perspective="local"} 1`,
		`cairn_validations_total{method="caa",outcome="cancelled",perspective="tokyo"} 1`,
		`cairn_validation_seconds_sum{method="caa",perspective="tokyo"} 1`,
		`cairn_issuances_total{outcome="ok",profile="classic"} 1`,
		`cairn_issuances_total{outcome="refused",profile="classic"} 1`,
		`cairn_signatures_total{kind="crl",outcome="error"} 1`,
		`cairn_sign_seconds_sum{kind="crl"} 1`,
		`cairn_database_errors_total{error="busy",transaction="update"} 1`,
		`cairn_database_retries_total 2`,
		`cairn_database_seconds_count{transaction="view"} 1`,
		`cairn_requests_in_progress 3`, `cairn_database_updates_in_progress 2`, `cairn_database_oldest_update_seconds 1`,
		`cairn_database_commits_total 9`, `cairn_nonces_issued_total 7`, `cairn_connections 5`, `cairn_connections_refused_total 1`,
		`cairn_work_in_progress{stage="validation"} 4`, `cairn_queue_age_seconds{stage="validation"} 2`, `cairn_queue_age_seconds{stage="issuance"} 0`,
		`cairn_crl_number{issuer="1"} 12`, `cairn_crl_entries{issuer="1"} 34`, `cairn_crl_next_update_timestamp_seconds{issuer="1"} 1.893456e+09`,
		`cairn_certificate_expiry_timestamp_seconds{id="root-1",owner="root"} 1.893456e+09`,
		`cairn_check_ok{check="ready"} 1`, `cairn_check_ok{check="health"} 0`,
	)
	if scrape(t, m); asked != 1 {
		t.Errorf("two scrapes at the same time asked for the state %d times", asked)
	}
	if !strings.Contains(scrape(t, m), `version="v1.2"`) {
		t.Error("the version is not there")
	}
}

// TestBounded: nobody makes series by inventing words.
func TestBounded(t *testing.T) {
	m := metrics.New(metrics.Config{Profiles: []string{"classic"}})
	for i := range 2000 {
		word := strings.Repeat("x", i+1)
		m.Problem(acme.ProblemType(word))
		m.Issued(word, metrics.OK)
		m.Validated(metrics.MethodOf(acme.ChallengeType(word)), word, metrics.OK, time.Second)
	}
	scraped := scrape(t, m)
	has(t, scraped, `cairn_problems_total{type="other"} 2000`, `cairn_issuances_total{outcome="ok",profile="other"} 2000`)
	if lines := strings.Count(scraped, "\ncairn_"); lines > 20000 {
		t.Errorf("there are %d series", lines)
	}
	if !strings.Contains(scraped, `cairn_validations_total{method="other",outcome="ok",perspective="other"}`) {
		t.Error("perspectives without end are told apart")
	}
}

// TestNobodyCounts: every recorder of nothing does nothing.
func TestNobodyCounts(t *testing.T) {
	var m *metrics.Metrics
	m.Resource("x").Answered("GET", 200, 0)
	m.Problem(acme.TypeCAA)
	m.Shed(metrics.ReasonWork)
	m.Limited(rules.Floods)
	m.Redeemed(true)
	m.Validated(metrics.CAA, metrics.Local, metrics.OK, 0)
	m.Issued("classic", metrics.OK)
	m.Signed(metrics.CRL, metrics.OK, 0)
	m.Transacted(metrics.View, metrics.NoFault, 1, 0)
}

// TestAllProblemTypes: each type of package acme is counted by its name.
func TestAllProblemTypes(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../../acme/problem.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := metrics.New(metrics.Config{})
	scraped, found := scrape(t, m), 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Type") {
			return true
		}
		sum, ok := spec.Values[0].(*ast.BinaryExpr)
		if !ok {
			t.Fatalf("%s is not a prefix and a name", spec.Names[0])
		}
		found++
		name := strings.Trim(sum.Y.(*ast.BasicLit).Value, `"`)
		has(t, scraped, `cairn_problems_total{type="`+name+`"} 0`)
		return true
	})
	if found < 20 {
		t.Errorf("found %d types", found)
	}
}

// BenchmarkRequest is what one request costs: the request itself, its nonce and four transactions.
func BenchmarkRequest(b *testing.B) {
	m := metrics.New(metrics.Config{})
	order := m.Resource("order/*")
	b.ReportAllocs()
	for b.Loop() {
		m.Redeemed(true)
		for range 4 {
			m.Transacted(metrics.View, metrics.NoFault, 1, time.Millisecond)
		}
		order.Answered("POST", 200, time.Millisecond)
	}
}

// BenchmarkIssuance is what one certificate costs beside its requests.
func BenchmarkIssuance(b *testing.B) {
	m := metrics.New(metrics.Config{Profiles: []string{"classic"}})
	b.ReportAllocs()
	for b.Loop() {
		for _, perspective := range []string{metrics.Local, metrics.Quorum} {
			m.Validated(metrics.MethodOf(acme.HTTP01), perspective, metrics.OK, time.Millisecond)
			m.Validated(metrics.CAA, perspective, metrics.OK, time.Millisecond)
		}
		m.Signed(metrics.Certificate, metrics.OK, time.Millisecond)
		m.Issued("classic", metrics.OK)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
