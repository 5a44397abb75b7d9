package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

func TestAnAccountIsForgottenOnlyWithItsServer(t *testing.T) {
	conf, err := lineage.ParseConf([]byte("[renewalparams]\naccount = 34ab\nserver = https://one/dir\n"))
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{"": "34ab", "--server https://one/dir": "34ab", "--server https://two/dir": "", "--account x": "x"} {
		_, o, err := process{}.parse(append([]string{"certonly"}, strings.Fields(args)...))
		if err != nil {
			t.Fatal(err)
		}
		s, err := o.settle(conf)
		if err != nil || s.params.Account != want {
			t.Errorf("%q: account %q, %v; want %q", args, s.params.Account, err, want)
		}
	}
}

func TestADetailIsSaidOnce(t *testing.T) {
	one := acme.Problemf(acme.TypeRejectedIdentifier, "the policy forbids it")
	one.Subproblems = []*acme.Problem{acme.Problemf(acme.TypeRejectedIdentifier, "the policy forbids it").About(acme.IdentifierFor("a.example"))}
	got := describe(fmt.Errorf("placing an order: %w", one))
	if want := "placing an order: rejectedIdentifier\n  Domain: a.example\n  Identifier: a.example\n  Type:   rejectedIdentifier\n  Detail: the policy forbids it"; got != want {
		t.Errorf("got %q", got)
	}
}

// TestOptionsAreLaidOverAConfiguration shows what of a command line is kept for renewals, and what of a configuration stays.
func TestOptionsAreLaidOverAConfiguration(t *testing.T) {
	const le = "server = " + defaultServer + "\nkey_type = ecdsa\n"
	for _, test := range []struct{ conf, args, want string }{
		{"", "", le},
		{"", "certonly --http-01-port 80 --elliptic-curve secp256r1 --rsa-key-size 2048", "server = " + defaultServer + "\nkey_type = ecdsa\nelliptic_curve = secp256r1\nrsa_key_size = 2048\nhttp01_port = 80\n"},
		{"", "certonly --standalone --key-type rsa", "server = " + defaultServer + "\nauthenticator = standalone\nkey_type = rsa\n"},
		{"", "certonly --staging", "server = " + stagingServer + "\nkey_type = ecdsa\n"},
		{"", "--nginx", "server = " + defaultServer + "\nauthenticator = nginx\ninstaller = nginx\nkey_type = ecdsa\n"},
		{"", "certonly -a certbot-dns-ovh:dns-ovh --dns-ovh-cred /x.ini --dns-ovh-prop 5",
			"server = " + defaultServer + "\nauthenticator = dns-ovh\nkey_type = ecdsa\ndns_ovh_credentials = /x.ini\ndns_ovh_propagation_seconds = 5\n"},
		{"", "--preferred-chall dns,http-01 --reuse-key --must-staple --allow-subset --no-autorenew --preferred-prof x --required-p y --user-agent z",
			le + "pref_challs = dns-01, http-01\npreferred_profile = x\nrequired_profile = y\nreuse_key = True\nmust_staple = True\n" +
				"allow_subset_of_names = True\nautorenew = False\nuser_agent = z\n"},
		{"", "--config-dir /c --work-dir /w --logs-dir /l", le + "config_dir = /c\nwork_dir = /w\nlogs_dir = /l\n"},
		{"", "--renew-hook x --pre-hook y --post-hook z", le + "pre_hook = y\npost_hook = z\nrenew_hook = x\n"},
		{"", "--deploy-hook", ""},
		{le + "renew_hook = a\npre_hook = b\n", "renew --deploy-hook c", "server = " + defaultServer + "\nkey_type = ecdsa\nrenew_hook = c\npre_hook = b\n"},
		{le + "reuse_key = True\nautorenew = False\n", "--no-reuse-key --autorenew", le},
		{le + "dns_foo_credentials = x\nmystery = y\nmanual_auth_hook = a\n", "--manual-auth-hook b",
			le + "dns_foo_credentials = x\nmystery = y\nmanual_auth_hook = b\n"},
		{"server = https://own/dir\naccount = x\n", "renew --dry-run", "server = https://own/dir\naccount = x\nkey_type = rsa\n"},
		{"server = " + defaultServer + "\naccount = x\nkey_type = rsa\n", "renew --dry-run", "server = " + stagingServer + "\nkey_type = rsa\n"},
		{"server = https://own/dir\naccount = x\nkey_type = rsa\n", "renew --staging", "server = " + stagingServer + "\nkey_type = rsa\n"},
		{"server = https://acme-v01.api.letsencrypt.org/directory\n", "renew", "server = " + defaultServer + "\nkey_type = rsa\n"},
	} {
		_, o, err := process{}.parse(strings.Fields(test.args))
		if err != nil {
			if test.want != "" {
				t.Errorf("%q: %v", test.args, err)
			}
			continue
		}
		conf, err := lineage.ParseConf([]byte("[renewalparams]\n" + test.conf))
		if err != nil {
			t.Fatal(err)
		}
		from := conf
		if test.conf == "" {
			from = nil
		}
		s, err := o.settle(from)
		if err == nil {
			err = conf.SetParams(s.params)
		}
		if got := strings.TrimPrefix(string(conf.Bytes()), "[renewalparams]\n"); err != nil || got != test.want {
			t.Errorf("%q over %q: %v\n%swant\n%s", test.args, test.conf, err, got, test.want)
		}
	}
}
