package acmesh

import (
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/program"
)

// Prefix is what stands before the name of a script after --dns: acmesh:dns_cf.
const Prefix = "acmesh:"

// Entry is the row of the registry, for a script that the settings name.
func Entry() dns.Entry { return entry("acmesh", "") }

// EntryFor is the row for one script, as it stands after Prefix.
func EntryFor(script string) dns.Entry { return entry(Prefix+script, script) }

func entry(name, script string) dns.Entry {
	e := dns.Entry{
		Name: name, Title: "a script for acme.sh",
		Keys: []dns.Key{
			{Name: "script", Help: "its name, such as dns_cf, or its path", Needed: script == ""},
			{Name: "directory", Help: "directory that has the scripts; found where acme.sh installs them when it is left out"},
			{Name: "home", Variable: "LE_WORKING_DIR", Help: "acme.sh's own directory, when it is not ~/.acme.sh"},
			{Name: "account_conf", Help: "acme.sh's account.conf, whose credentials are used when none are given here"},
			{Name: "timeout", Help: "how many seconds it may take; 600 when it is left out"},
		},
		Free: true, Propagation: 5 * time.Minute,
		Docs: "https://github.com/cairn-ca/cairn/blob/main/docs/dns-programs.md#--dns-acmeshdns_name",
		New: func(s dns.Settings) (dns.Provider, error) {
			config := Config{Script: script, Directory: s.Values["directory"], Home: s.Values["home"], Account: s.Values["account_conf"],
				Variables: program.Variables(s, "script", "directory", "home", "account_conf", "timeout"), Environ: s.Environ, Log: s.Log}
			if config.Script == "" {
				config.Script = s.Values["script"]
			}
			if home, _ := s.Getter("HOME")("HOME"); config.Home == "" && home != "" {
				config.Home = filepath.Join(home, ".acme.sh")
			}
			if text := s.Values["timeout"]; text != "" {
				number, err := strconv.ParseUint(text, 10, 16)
				if err != nil || number == 0 {
					return nil, fmt.Errorf("acme.sh: the timeout is %.20q: write a number of seconds", text)
				}
				config.Timeout = time.Duration(number) * time.Second
			}
			return New(config)
		},
	}
	return e
}
