package rules_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// What is read is bounded, and means the same when it is written down again; a record that is there is never left out,
// since it may be the one that forbids.
func FuzzParseOnionCAA(f *testing.F) {
	for _, seed := range []string{"", "\n", `caa 0 issue "ca.example"`, "caa 128 issue ca.example\r\n\ncaa 0 iodef \"mailto:a\\\"b\"\n", `caa 0 issue ";`, `caa 256 a b`,
		`caa 0  "x"`, `caa 0 issue "a" b`, `CAA 0 issue "a"`, `caa 0 issue "\065"`, `caa +1 issue "a"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		records, why := rules.ParseOnionCAA(text)
		if why != "" {
			if records != nil {
				t.Errorf("%q is refused, and gives %q", text, records)
			}
			return
		}
		lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.Trim(line, "\r") == "" })
		if len(records) > 100 || len(records) != len(lines) {
			t.Errorf("%q gives %d records", text, len(records))
		}
		var again strings.Builder
		for _, r := range records {
			fmt.Fprintf(&again, "caa %d %s \"%s\"\n", r.Flags, r.Tag, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(r.Value))
		}
		if same, why := rules.ParseOnionCAA(again.String()); why != "" || !slices.Equal(same, records) {
			t.Errorf("%q gives %q, and then %q %s", text, records, same, why)
		}
	})
}
