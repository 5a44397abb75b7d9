//go:build unix

package adopt_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/adopt"
)

// TestCommandsOfOthers imports what somebody else has: he must not get our rights by it.
func TestCommandsOfOthers(t *testing.T) {
	provider := func(name string) (map[string]string, bool) { return nil, name == "acmesh" }
	for name, change := range map[string]func(home, conf, script string) error{
		"ours":                 func(string, string, string) error { return nil },
		"a writable file":      func(_, conf, script string) error { return chmod(0o666, conf, script) },
		"a writable directory": func(home, _, _ string) error { return chmod(0o777, home) },
		"somebody's": func(home, conf, script string) error {
			if os.Geteuid() != 0 {
				return chmod(0o777, home)
			}
			return os.Chown(home, 65534, 65534)
		},
	} {
		home := t.TempDir()
		acmeSh(t, home, "a.test", "a.test", "rsa", "Le_Domain='a.test'\nLe_Alt='no'\nLe_Webroot='dns_own'\nLe_API='https://ca.test/dir'\nLe_PreHook='id'\nLe_ReloadCmd='reload it'\n", "a.test")
		script, conf := filepath.Join(home, "dnsapi", "dns_own.sh"), filepath.Join(home, "a.test", "a.test.conf")
		write(t, script, "dns_own_add() { :; }\n")
		if err := change(home, conf, script); err != nil {
			t.Fatal(err)
		}
		found, err := adopt.Read(adopt.Config{Source: adopt.AcmeSh, Dir: home, Provider: provider})
		if err != nil || len(found.Certificates) != 1 {
			t.Fatalf("%s: %+v, %v", name, found, err)
		}
		c, notes := found.Certificates[0], strings.Join(found.Certificates[0].Notes, "\n")
		carried := c.Params.PreHook == "id" && c.Params.DeployHook == "reload it" && c.DNS != nil
		left := c.Params.PreHook+c.Params.DeployHook == "" && c.DNS == nil && strings.Contains(notes, `"reload it" is not carried over`) && strings.Contains(notes, "dns_own.sh is not run")
		if name == "ours" && !carried || name != "ours" && !left {
			t.Errorf("%s: %+v\n%s", name, c.Params, notes)
		}
	}
}

func chmod(mode os.FileMode, paths ...string) error {
	for _, path := range paths {
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
	}
	return nil
}
