package main

import (
	"os"
	"strings"
	"testing"
)

// docs/certbot.md says of each plugin of others that we know whether it works, or what takes its place.
func TestOtherPluginsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/certbot.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, plugin := range otherPlugins() {
		names = append(names, "dns-"+plugin)
	}
	for _, plugin := range thirdParties() {
		names = append(names, plugin.name)
	}
	for _, name := range names {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("the plugin %s is not in docs/certbot.md", name)
		}
	}
}
