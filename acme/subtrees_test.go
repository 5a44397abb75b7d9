package acme_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
)

func subtrees(t *testing.T, items string) acme.Subtrees {
	t.Helper()
	s, err := acme.ParseSubtrees(strings.Fields(items))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseSubtrees(t *testing.T) {
	for items, want := range map[string]string{
		"corp.example":                         "corp.example",
		"*.corp.example .Lan":                  "corp.example lan",
		"a.lan lan b.lan lan":                  "lan",
		"lan test lan":                         "lan test",
		"10.0.0.0/8 10.1.0.0/16 192.0.2.7":     "10.0.0.0/8 192.0.2.7",
		"fc00::/7 fd00::1 ::1":                 "fc00::/7 ::1",
		"192.0.2.7 192.0.2.7/32 [2001:db8::1]": "192.0.2.7 2001:db8::1",
	} {
		if got := strings.Join(subtrees(t, items).Strings(), " "); got != want {
			t.Errorf("%q is %q, want %q", items, got, want)
		}
	}
	for _, bad := range []string{"", "a_b", "10.0.0.1/8", "a..b", "::ffff:10.0.0.0/104", "https://x", "x y", "10.0.0.0/33", "*"} {
		if s, err := acme.ParseSubtrees([]string{bad}); err == nil {
			t.Errorf("%q is read as %q", bad, s.Strings())
		}
	}
}

func TestSubtreesContain(t *testing.T) {
	s := subtrees(t, "lan corp.example 10.0.0.0/8 fc00::/7")
	inside := []string{"lan", "a.lan", "a.b.lan", "*.lan", "corp.example", "10.255.255.255", "fdff::1"}
	outside := []string{"alan", "lan.com", "example", "xcorp.example", "11.0.0.1", "fe80::1", "::1", "*.example", "*.com"}
	for _, name := range inside {
		if !s.Contains(acme.IdentifierFor(name)) {
			t.Errorf("%s is outside", name)
		}
	}
	for _, name := range outside {
		if s.Contains(acme.IdentifierFor(name)) {
			t.Errorf("%s is inside", name)
		}
	}
	missing := s.Missing(subtrees(t, "a.lan test 10.1.0.0/16 192.168.0.0/16")).Strings()
	if !slices.Equal(missing, []string{"test", "192.168.0.0/16"}) {
		t.Errorf("missing: %q", missing)
	}
	if s.Covers(subtrees(t, "0.0.0.0/0")) || !s.Covers(subtrees(t, "10.0.0.0/9 b.lan")) {
		t.Error("what covers what")
	}
}
