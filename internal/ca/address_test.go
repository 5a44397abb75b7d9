package ca

import (
	"slices"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/datadir"
)

func TestParseURL(t *testing.T) {
	for text, want := range map[string]string{
		"https://ca.lan:8443":   "https://ca.lan:8443",
		"https://CA.Lan/":       "https://ca.lan",
		"https://ca.lan:443":    "https://ca.lan",
		"https://10.0.0.1:8443": "https://10.0.0.1:8443",
		"https://[FD00::1]:443": "https://[fd00::1]",
		"https://[fd00::1]:444": "https://[fd00::1]:444",
	} {
		if got, err := ParseURL(text); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "ca.lan", "http://ca.lan", "https://", "https://ca.lan/x", "https://ca.lan?", "https://ca.lan#x",
		"https://u@ca.lan", "https://ca.lan:", "https://ca.lan:0", "https://ca.lan:99999", "https://ca.lan:abc", "https://*.lan", "https://a_b",
		"https://localhost:$(id)", "https://::1", "https://127.0.0.1:1;x"} {
		if got, err := ParseURL(bad); err == nil {
			t.Errorf("%s is read as %s", bad, got)
		}
	}
}

// A place is remembered for as long as certificates may point to it, and no longer.
func TestRepublish(t *testing.T) {
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	urls := func(list []datadir.Published) (urls []string) {
		for _, place := range list {
			urls = append(urls, place.URL)
		}
		return urls
	}
	list := republish(nil, "http://a:80", now)
	list = republish(list, "http://a:80", now.Add(time.Hour))
	if got := urls(list); !slices.Equal(got, []string{"http://a:80"}) || !list[0].Last.IsZero() {
		t.Errorf("the same place again: %v", list)
	}
	list = republish(list, "http://b:80", now.AddDate(1, 0, 0)) // a was in use for a year
	if got := urls(republish(list, "http://b:80", now.AddDate(1, 0, 99))); !slices.Equal(got, []string{"http://b:80", "http://a:80"}) {
		t.Errorf("99 days after the change: %v", got)
	}
	if got := urls(republish(list, "http://b:80", now.AddDate(1, 0, 101))); !slices.Equal(got, []string{"http://b:80"}) {
		t.Errorf("101 days after the change: %v", got)
	}
	if got := urls(republish(list, "http://a:80", now.AddDate(1, 0, 1))); !slices.Equal(got, []string{"http://a:80", "http://b:80"}) {
		t.Errorf("back at the first place: %v", got)
	}
	for range 100 {
		list = republish(list, "http://c:"+time.Duration(len(list)).String()+now.String(), now)
		now = now.Add(time.Second)
	}
	if len(list) > maxPublished {
		t.Errorf("%d places are remembered", len(list))
	}
}
