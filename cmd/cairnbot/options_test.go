package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/command"
)

func TestNormalise(t *testing.T) {
	for argv, want := range map[string]string{
		"certonly -d a.example":                "certonly: --domains=a.example",
		"-d a.example certonly":                "certonly: --domains=a.example",
		"-d renew certonly":                    "certonly: --domains=renew",
		"auth -da.example":                     "certonly: --domains=a.example",
		"-d=a.example renew":                   "renew: --domains=a.example",
		"renew -nvv":                           "renew: --non-interactive --verbose --verbose",
		"renew -nqd a.example":                 "renew: --non-interactive --quiet --domains=a.example",
		"renew --force-renew --noninter":       "renew: --force-renewal --non-interactive",
		"renew --renew-by --cert=x":            "",
		"renew --cert-n=x --cert-p y":          "renew: --cert-name=x --cert-path=y",
		"renew --renew-by-default":             "renew: --force-renewal",
		"certonly --keep --reinstall":          "certonly: --keep-until-expiring --keep-until-expiring",
		"certonly --domain a --domains=b":      "certonly: --domains=a --domains=b",
		"certonly --server=":                   "certonly: --server=",
		"certonly --server=a=b":                "certonly: --server=a=b",
		"certonly --key-type -":                "certonly: --key-type=-",
		"revoke --no-delete":                   "revoke: --no-delete-after-revoke",
		"--config-dir c certonly --work-dir w": "certonly: --config-dir=c --work-dir=w",
		"":                                     ": ",
		"certonly renew":                       "",
		"certonly --":                          "",
		"certonly --no":                        "",
		"certonly -dn":                         "certonly: --domains=n",
		"certonly -w":                          "",
		"certonly -w -d":                       "",
		"certonly -ü":                          "",
		"help renew":                           "help: ",
		"help renew now":                       "",
	} {
		in, err := language().Read(strings.Fields(argv))
		if want == "" {
			if err == nil {
				t.Errorf("%q: no error, but %+v", argv, in)
			}
			continue
		}
		if got := in.Verb + ": " + spell(in.Settings); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", argv, got, err, want)
		}
	}
}

func TestWebrootsBelongToTheNamesAfterThem(t *testing.T) {
	for argv, want := range map[string]string{
		"-w /1 -d a.test,b.test -w /2 -d c.test": "a.test=/1 b.test=/1 c.test=/2",
		"-d a.test -w /1 -d b.test":              "a.test=/1 b.test=/1",
		"-w /1 -d a.test -w /2":                  "a.test=/1",
		"-d a.test":                              "",
	} {
		_, o, err := process{}.parse(strings.Fields("certonly " + argv))
		if err != nil {
			t.Errorf("%q: %v", argv, err)
			continue
		}
		var got []string
		for _, name := range slices.Sorted(maps.Keys(o.webroots.byName)) {
			got = append(got, name+"="+o.webroots.byName[name])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", argv, got, want)
		}
	}
}

func TestDomainNames(t *testing.T) {
	for name, want := range map[string]string{
		"A.Example.": "a.example", "*.a.example": "*.a.example", "192.0.2.7": "192.0.2.7", "[2001:DB8::1]": "2001:db8::1",
		"_dmarc.a_b.Example": "_dmarc.a_b.example", "-_.example": "",
		"": "", "http://a.example": "", "a b": "", "ä.example": "", "*.*.a.example": "", "a.*.example": "", strings.Repeat("a", 64) + ".example": "",
	} {
		got, err := checkDomain(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v; want %q", name, got, err, want)
		}
	}
}

// TestTable keeps the table of options free of names that mean two things.
func TestTable(t *testing.T) {
	seen := make(map[string]bool)
	for _, row := range table() {
		for _, name := range append([]string{row.Name, "-" + row.Short}, row.Aliases...) {
			if name != "-" && seen[name] {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
		}
		if !row.Hidden && (row.Help == "" || len(row.Topics) == 0) {
			t.Errorf("--%s has no help", row.Name)
		}
		for _, topic := range row.Topics {
			if l := language(); l.Verb(topic) == nil && !slices.ContainsFunc(l.Topics, func(t command.Topic) bool { return t.Name == topic }) {
				t.Errorf("--%s: there is no topic %s", row.Name, topic)
			}
		}
		if (row.Target == nil) != row.Deprecated {
			t.Errorf("--%s sets nothing", row.Name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("certonly\x00-nvd\x00a.example\x00--serv=x")
	f.Add("--\x00-\x00--=\x00-=")
	f.Fuzz(func(t *testing.T, text string) {
		argv := strings.Split(text, "\x00")
		line, err := language().Read(argv)
		if err != nil {
			return
		}
		for _, setting := range line.Settings {
			if language().Option(setting.Name) == nil {
				t.Errorf("%q is not normal", setting.Name)
			}
			if setting.Name == "config" {
				return // files are read elsewhere
			}
		}
		_, _, _ = process{}.parse(argv) // must not panic
	})
}

// spell writes settings with full names.
func spell(settings []command.Setting) string {
	var list []string
	for _, setting := range settings {
		text := "--" + setting.Name
		if language().Option(setting.Name).Arg != "" {
			text += "=" + setting.Value
		}
		list = append(list, text)
	}
	return strings.Join(list, " ")
}
