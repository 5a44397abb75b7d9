package main

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestMigrateRenames: keys get the names of today, through all versions, and nothing else of the file changes.
func TestMigrateRenames(t *testing.T) {
	history := configHistory{
		{number: 1},
		{number: 2, renamed: map[string]string{"port": "listen", "gone": "other"}},
		{number: 3, renamed: map[string]string{"other": "last"}},
	}
	for _, c := range []struct{ name, text, want string }{
		{"all", "# top\nversion: 1 # old\n\"port\": \":1\" # é\ngone: {port: 2}\n", "# top\nversion: 3 # old\nlisten: \":1\" # é\nlast: {port: 2}\n"},
		{"no version", "port: 1", "version: 3\nlisten: 1"},
		{"the newest", "version: 3\nlisten: 1\n", "version: 3\nlisten: 1\n"},
		{"both names", "version: 2\nother: 1\nlast: 2\n", ""},
		{"too new", "version: 4\n", ""},
		{"one map", "{port: 1}", ""},
		{"empty", "", "version: 3\n"},
	} {
		var document yaml.Node
		if err := yaml.Unmarshal([]byte(c.text), &document); err != nil {
			t.Fatal(err)
		}
		var top *yaml.Node
		if len(document.Content) > 0 {
			top = document.Content[0]
		}
		got, done, err := history.migrate([]byte(c.text), top)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: it becomes\n%s", c.name, got)
			}
			continue
		}
		if err != nil || string(got) != c.want || (len(done) == 0) != (c.text == c.want) {
			t.Errorf("%s: it becomes\n%s\n(%s, %v), want\n%s", c.name, got, strings.Join(done, "; "), err, c.want)
		}
	}
}
