package metrics_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/internal/ca/metrics"
)

// described lists the labels of every metric of ours, by its name.
func described(t *testing.T) map[string][]string {
	t.Helper()
	m := metrics.New(metrics.Config{State: func() metrics.State { return metrics.State{} }})
	descriptions := make(chan *prometheus.Desc, 1000)
	m.Describe(descriptions)
	close(descriptions)
	pattern := regexp.MustCompile(`^Desc\{fqName: "(cairn_[a-z_]+)", help: .*, constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)
	list := make(map[string][]string)
	for d := range descriptions {
		if found := pattern.FindStringSubmatch(d.String()); found != nil {
			labels := strings.FieldsFunc(found[3], func(r rune) bool { return r == ',' })
			for _, constant := range strings.FieldsFunc(found[2], func(r rune) bool { return r == ',' }) {
				name, _, _ := strings.Cut(constant, "=")
				labels = append(labels, name)
			}
			slices.Sort(labels)
			list[found[1]] = labels
		}
	}
	if len(list) < 25 {
		t.Fatalf("found %d metrics only", len(list))
	}
	return list
}

// TestTableIsWhole: the table in docs/monitoring.md has every metric with its labels, and no other.
func TestTableIsWhole(t *testing.T) {
	list := described(t)
	rows := regexp.MustCompile("(?m)^\\| `(cairn_[a-z_]+)` \\|([^|]*)\\|").FindAllStringSubmatch(readFile(t, "docs/monitoring.md"), -1)
	seen := map[string]bool{}
	for _, row := range rows {
		labels := strings.FieldsFunc(row[2], func(r rune) bool { return strings.ContainsRune(" ,`", r) })
		slices.Sort(labels)
		want, ok := list[row[1]]
		switch {
		case !ok:
			t.Errorf("the table has %s, which there is not", row[1])
		case seen[row[1]]:
			t.Errorf("the table has %s twice", row[1])
		case !slices.Equal(labels, want):
			t.Errorf("the table says that %s has the labels %q, but it has %q", row[1], labels, want)
		}
		seen[row[1]] = true
	}
	for name := range list {
		if !seen[name] {
			t.Errorf("the table lacks %s", name)
		}
	}
}

// dashboard is what this test looks at of a dashboard of Grafana's.
type dashboard struct {
	Title         string  `json:"title"`
	UID           string  `json:"uid"`
	SchemaVersion int     `json:"schemaVersion"`
	Panels        []panel `json:"panels"`
	Templating    struct {
		List []struct {
			Name  string `json:"name"`
			Type  string `json:"type"`
			Query any    `json:"query"`
		} `json:"list"`
	} `json:"templating"`
}

type panel struct {
	ID     int                      `json:"id"`
	Type   string                   `json:"type"`
	Title  string                   `json:"title"`
	Grid   struct{ X, Y, W, H int } `json:"gridPos"`
	Source struct {
		Type string `json:"type"`
		UID  string `json:"uid"`
	} `json:"datasource"`
	Targets []struct {
		Expr  string `json:"expr"`
		RefID string `json:"refId"`
	} `json:"targets"`
}

// TestDashboard: the dashboard is one, has a row for each group, and asks for nothing that there is not.
func TestDashboard(t *testing.T) {
	var d dashboard
	if err := json.Unmarshal([]byte(readFile(t, "docs/grafana-dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || d.UID == "" || d.SchemaVersion < 36 {
		t.Errorf("title %q, uid %q, schema %d", d.Title, d.UID, d.SchemaVersion)
	}
	list, rows, ids, used := described(t), []string{}, map[int]bool{}, map[string]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" || p.Grid.W == 0 || p.Grid.H == 0 || p.Grid.X+p.Grid.W > 24 {
			t.Errorf("panel %d %q has no place of its own", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if len(p.Targets) == 0 || p.Source.Type != "prometheus" || p.Source.UID != "${datasource}" {
			t.Errorf("panel %q asks nobody for nothing: %+v", p.Title, p.Source)
		}
		for _, target := range p.Targets {
			checkExpression(t, p.Title, target.Expr, list, used)
		}
	}
	for _, group := range []string{"State", "Requests", "Validation", "Issuance", "Database", "Limits and overload", "CRLs and expiry", "Process"} {
		if !slices.Contains(rows, group) {
			t.Errorf("the dashboard has no row %q, but %q", group, rows)
		}
	}
	for name := range list {
		if !used[name] && !slices.Contains([]string{"cairn_crl_number", "cairn_crl_this_update_timestamp_seconds"}, name) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}

// checkExpression checks that what an expression names is there.
func checkExpression(t *testing.T, title, expression string, list map[string][]string, used map[string]bool) {
	t.Helper()
	var labels []string
	for _, name := range regexp.MustCompile(`cairn_[a-z_]+`).FindAllString(expression, -1) {
		base := name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if _, ok := list[base]; !ok {
				base = strings.TrimSuffix(name, suffix)
			}
		}
		if _, ok := list[base]; !ok {
			t.Errorf("panel %q asks for %s, which there is not", title, name)
		}
		used[base] = true
		labels = append(labels, list[base]...)
	}
	labels = append(labels, "le", "instance", "job")
	for _, found := range regexp.MustCompile(`by \(([^)]*)\)`).FindAllStringSubmatch(expression, -1) {
		for _, label := range strings.Split(found[1], ", ") {
			if !slices.Contains(labels, label) {
				t.Errorf("panel %q groups by %s, which is no label of %q", title, label, expression)
			}
		}
	}
	if strings.Count(expression, "(") != strings.Count(expression, ")") || strings.Count(expression, "{") != strings.Count(expression, "}") {
		t.Errorf("panel %q: %s does not close what it opens", title, expression)
	}
}
