package txt_test

import (
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/txt"
)

func TestWhatMustNotReachARequest(t *testing.T) {
	for _, name := range []string{"", ".", "a.test", "a..b.", "a/../b.test.", "a b.test.", "a\n.test.", `a\.b.test.`, "a?b=c.test.", "a%2f.test.", "ü.test.", "A.test.",
		"-x.test.", strings.Repeat("a", 64) + ".test.", strings.Repeat("a.", 127) + "test.", "*.a.test.", "$(x).test.", "a:b.test.", "a;b.test.", "a'.test."} {
		if err := txt.Check(dns.Record{Name: name, Value: "x"}); err == nil {
			t.Errorf("the name %q was accepted", name)
		}
	}
	for _, value := range []string{"", "a\nb", "a\x00", "a\x7f", "ü", strings.Repeat("a", 2049)} {
		if err := txt.Check(dns.Record{Name: "a.test.", Value: value}); err == nil {
			t.Errorf("the value %.20q was accepted", value)
		}
	}
	if err := txt.Check(dns.Record{Name: "_acme-challenge.a.test.", Value: `ca.test; accounturi=https://ca.test/1; policy="x"`}); err != nil {
		t.Error(err)
	}
}

func TestZones(t *testing.T) {
	self := func(zone string) string { return zone }
	for _, c := range []struct {
		zones []string
		want  int
	}{
		{[]string{"b.test.", "a.b.test.", "x.a.b.test."}, 1},
		{[]string{"test", "bb.test", "A.B.TEST"}, 2},
		{[]string{"", ".", "other.test"}, -1},
		{nil, -1},
	} {
		if got := txt.Longest("_acme-challenge.a.b.test.", c.zones, self); got != c.want {
			t.Errorf("%q: %d, want %d", c.zones, got, c.want)
		}
	}
	for _, c := range [][3]string{{"_x.a.test.", "a.test", "_x"}, {"_x.A.test.", "a.TEST.", "_x"}, {"a.test.", "a.test.", "@"}} {
		if got := txt.Relative(c[0], c[1], "@"); got != c[2] {
			t.Errorf("%s in %s: %q", c[0], c[1], got)
		}
	}
}

func TestQuoting(t *testing.T) {
	long := strings.Repeat("x", 300)
	for value, want := range map[string]string{
		"abc":          `"abc"`,
		`a "b" \c; d=`: `"a \"b\" \\c; d="`,
		long:           `"` + long[:255] + `" "` + long[255:] + `"`,
	} {
		if got := txt.Quote(value); got != want || txt.Unquote(got) != value {
			t.Errorf("%q: %s, back: %q", value, got, txt.Unquote(got))
		}
	}
	for text, want := range map[string]string{`abc`: "abc", `a b`: "a b", `"a""b"`: "ab", `"\065\"\\"`: `A"\`, `"a`: "a", `\`: `\`, `\25`: "25", `"\999"`: "999"} {
		if got := txt.Unquote(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func FuzzQuote(f *testing.F) {
	f.Add(`a "b" \c 123`)
	f.Fuzz(func(t *testing.T, value string) {
		_ = txt.Unquote(value)
		if txt.Check(dns.Record{Name: "a.", Value: value}) == nil && txt.Unquote(txt.Quote(value)) != value {
			t.Errorf("%q: %s: %q", value, txt.Quote(value), txt.Unquote(txt.Quote(value)))
		}
	})
}
