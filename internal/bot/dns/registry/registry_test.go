package registry_test

import (
	"regexp"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/dns/registry"
)

// What names a provider leads to that one alone.
func TestNamesAreUnique(t *testing.T) {
	form := regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	seen := make(map[string]string)
	for _, entry := range registry.Entries() {
		if entry.Title == "" || entry.New == nil || entry.Docs == "" {
			t.Errorf("%s has no title, no page or cannot be made", entry.Name)
		}
		for _, name := range append([]string{entry.Name}, entry.Aliases...) {
			if !form.MatchString(name) {
				t.Errorf("%s is not a name for a provider", name)
			}
			if before, ok := seen[name]; ok {
				t.Errorf("%s is %s and %s", name, before, entry.Name)
			}
			seen[name] = entry.Name
			if found, ok := registry.Find("dns-" + name); !ok || found.Name != entry.Name {
				t.Errorf("dns-%s leads to %s", name, found.Name)
			}
		}
		keys := make(map[string]bool)
		for _, key := range entry.Keys {
			if keys[key.Name] {
				t.Errorf("%s has the setting %s twice", entry.Name, key.Name)
			}
			keys[key.Name] = true
		}
	}
	for _, name := range []string{"acmesh:dns_cf", "dns-acmesh:dns_cf"} {
		if entry, ok := registry.Find(name); !ok || entry.Name != "acmesh:dns_cf" || entry.Keys[0].Needed {
			t.Errorf("%s leads to %+v", name, entry)
		}
	}
	if _, ok := registry.Find("nobody"); ok {
		t.Error("nobody is a provider")
	}
}
