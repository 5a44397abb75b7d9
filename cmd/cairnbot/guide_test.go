package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/dns/dnstest"
)

func TestGuide(t *testing.T) {
	s := newStation(t)
	d := s.talk("--http-01-port", s.port())
	d.expect("This leads you to a certificate").expect("(on the command line: -d NAME)").expect("(Enter 'c' to cancel): ")
	d.send("someone@example.org, https://one.example/x").expect("** Invalid input **").expect("was not valid: someone@example.org: this is an email address").expect("(Enter 'c' to cancel): ")
	d.send("https://One.example/index.html, bücher.example").expect("is taken as one.example.").expect("is taken as xn--bcher-kva.example.")
	d.expect("Which certificate authority (CA)").expect("Select the appropriate number [1-3]").send("3")
	d.expect("address of the CA's directory").send("ca.example").expect("it begins with https://").send(s.pebble.Directory)
	d.expect("does not know who vouches").send("/nonexistent").expect("** Invalid input **").send(s.pebble.Bundle)
	d.expect("How would you like to authenticate with the ACME CA?").expect("1: Run a small web server of our own").send("")
	d.expect("Which command has your server read a new certificate?").expect("on the command line: --deploy-hook COMMAND").
		send("nosuch reload").expect("there is no program").send("touch reloaded")
	d.expect("Enter email address or hit Enter to skip.").send("nobody").expect("There is a problem with your email address.").send("you@mail.example")
	d.expect("Please read the Terms of Service at: ").expect("(Y)es/(N)o: ").send("perhaps").expect("answer Y or N").send("y")
	d.expect("This is what will be done: get a new certificate").expect("Names: one.example, xn--bcher-kva.example")
	d.expect("a new one, for you@mail.example").expect("Then: touch reloaded").expect("certonly -n --standalone -d one.example").expect("--agree-tos").expect("-m you@mail.example")
	d.expect("Go ahead?").send("")
	d.expect("Account registered.").expect("Requesting a certificate for one.example and xn--bcher-kva.example")
	d.expect("Successfully received certificate.").expect("NEXT STEPS:").expect("ssl_certificate_key")
	d.end(0)
	if !s.exists("etc/live/one.example/fullchain.pem") || !s.exists("reloaded") {
		t.Error("there is no certificate, or nobody was told of it")
	}

	// The command line of the summary means the same.
	if text := s.quietly(s.ca("certonly", "-n", "--standalone", "-d", "one.example", "-d", "xn--bcher-kva.example")...); !strings.Contains(text, "no action taken") {
		t.Error(text)
	}
	d = s.talk()
	d.expect("(Enter 'c' to cancel): ").send("one.example xn--bcher-kva.example").expect("exactly the same domains").send("")
	d.expect("Certificate not yet due for renewal; no action taken.").end(0)
	d = s.talk()
	d.expect("(Enter 'c' to cancel): ").send("one.example xn--bcher-kva.example").expect("Keep the existing certificate for now").send("2")
	d.expect("renew the certificate one.example").expect("Go ahead?").send("n").expect("cancelled by the user").end(1)
	d = s.talk()
	d.expect("(Enter 'c' to cancel): ").send("one.example xn--bcher-kva.example").expect("(may be subject to CA rate limits)").send("2")
	d.expect("Account: the one that is there").expect("--force-renewal").expect("Go ahead?").send("y")
	d.expect("Renewing an existing certificate for").expect("Successfully received certificate.").end(0)
	if !s.exists("etc/archive/one.example/cert2.pem") {
		t.Error("it was not renewed")
	}
}

func TestExistingCertificates(t *testing.T) {
	s := newStation(t)
	s.quietly(s.ca("certonly", "-n", "--standalone", "--agree-tos", "-d", "a.example", "-d", "b.example")...)
	three := s.ca("certonly", "--standalone", "-d", "a.example", "-d", "b.example", "-d", "c.example")

	d := s.talk(three...).expect("contains a portion of the domains you requested").expect("It would also get: c.example")
	d.expect("on the command line: --expand").expect("(E)xpand/(C)ancel: ").send("c").expect("--duplicate").end(1)
	s.talk(three...).expect("(E)xpand/(C)ancel: ").send("e").expect("Successfully received").end(0)
	s.talk(s.ca("certonly", "--cert-name", "a.example", "-d", "a.example", "-d", "z.example")...).
		expect("You are updating certificate a.example to include new domain(s): + z.example").
		expect("You are also removing previously included domain(s): - b.example - c.example").
		expect("(U)pdate certificate/(C)ancel: ").send("c").expect("cancelled by the user").end(1)
	s.talk(s.ca("certonly", "--cert-name", "a.example", "-d", "a.example")...).
		expect("to remove previously included domain(s): - b.example - c.example").
		expect("--renew-with-new-domains").expect("(U)pdate certificate/(C)ancel: ").send("u").expect("Successfully received").end(0)

	// Nobody is asked where the options say it.
	s.talk(s.ca("certonly", "--cert-name", "a.example", "-d", "a.example", "-d", "b.example", "--renew-with-new-domains")...).expect("Successfully received").end(0)
	s.talk(append(three, "--duplicate")...).expect("Successfully received").end(0)
	if !s.exists("etc/live/a.example-0001") {
		t.Error("there is no duplicate")
	}
	s.talk(append(three, "--keep-until-expiring")...).expect("no action taken").end(0)
	s.talk(append(three, "--force-renewal")...).expect("Renewing an existing certificate").expect("Successfully received").end(0)
}

func TestKeyTypeQuestion(t *testing.T) {
	s := newStation(t)
	s.quietly(s.ca("certonly", "-n", "--standalone", "--agree-tos", "-d", "a.example", "--key-type", "rsa")...)
	plain := s.ca("certonly", "--standalone", "-d", "a.example")
	question := "An RSA certificate named a.example already exists. Do you want to update its key type to ECDSA?"
	s.talk(plain...).expect(question).expect("(U)pdate key type/(K)eep existing key type: ").send("k").
		expect("exactly the same domains").send("1").expect("no action taken").end(0)
	s.talk(append(plain, "--key-type", "ecdsa")...).expect(question).send("k").expect("Are you trying to change the key type").end(1)
	s.talk(plain...).expect(question).send("u").expect("Successfully received").end(0)
	if text := s.quietly("certificates"); !strings.Contains(text, "Key Type: ECDSA") {
		t.Error(text)
	}
	s.talk(s.ca("certonly", "--cert-name", "a.example", "--key-type", "rsa")...).expect("Successfully received").end(0)
}

func TestWebrootQuestions(t *testing.T) {
	s := newStation(t)
	if err := os.MkdirAll(s.path("www"), 0o755); err != nil {
		t.Fatal(err)
	}
	serveFiles(t, s.path("www"), s.port())
	d := s.talk(s.ca("certonly", "-d", "a.example,b.example")...)
	d.expect("How would you like to authenticate").expect("1: Put files where a web server").send("1")
	d.expect("Input the webroot for a.example:").expect("(Enter 'c' to cancel): ").send("/nonexistent").expect("does not exist or is not a directory").send(s.path("www"))
	d.expect("Select the webroot for b.example:").expect("1: Enter a new webroot").expect("2: " + s.path("www")).expect("Select the appropriate number").send("")
	d.expect("hit Enter to skip.").send("").expect("Do you agree?").send("y").expect("Successfully received").end(0)
	conf, err := os.ReadFile(s.path("etc/renewal/a.example.conf"))
	if err != nil || !strings.Contains(string(conf), "b.example = "+s.path("www")) {
		t.Errorf("%v\n%s", err, conf)
	}
	s.quietly("renew", "--force-renewal", "--ca-bundle", s.pebble.Bundle)

	// A rule for a name leaves its directory open.
	d = s.talk(s.ca("certonly", "-d", "c.example", "--method", "c.example=webroot")...)
	d.expect("Input the webroot for c.example:").send(s.path("www")).expect("Successfully received").end(0)
}

func TestByHand(t *testing.T) {
	s := newStation(t)
	directory := s.path("www/.well-known/acme-challenge")
	if err := os.MkdirAll(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	serveFiles(t, s.path("www"), s.port())
	d := s.talk(s.ca("certonly", "--agree-tos", "-m", "you@mail.example", "-d", "a.example,b.example", "--manual")...)
	for range 2 {
		d.expect("Press Enter to Continue")
		told := file.FindAllStringSubmatch(d.seen[:d.read], -1)
		if len(told) == 0 {
			t.Fatalf("nobody was told what to do: %s", d.seen)
		}
		last := told[len(told)-1]
		if err := os.WriteFile(filepath.Join(directory, last[2]), []byte(last[1]), 0o644); err != nil {
			t.Fatal(err)
		}
		d.send("")
	}
	d.expect("Successfully received certificate.").expect("This certificate will not be renewed automatically").end(0)

	// A wildcard is proven in the DNS alone.
	s.talk(s.ca("certonly", "-d", "*.a.example")...).expect("it looks into the DNS alone").expect("Do by hand").
		send("c").expect("cancelled by the user").end(1)
	s.talk(s.ca("certonly", "-d", "*.a.example", "--manual")...).expect("Put a TXT record into the DNS").expect("_acme-challenge.a.example.").
		expect("Press Enter to Continue").press("\x03").expect("Exiting due to user request.").end(1)
}

func TestProviderQuestions(t *testing.T) {
	d, err := dnstest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	zone, err := d.Zone("example.org", "127.0.0.2", "127.0.0.3")
	if err != nil {
		t.Fatal(err)
	}
	api := recordAPI(zone)
	t.Cleanup(api.Close)
	s := newStation(t, "-dnsserver", d.Resolver())
	for name, text := range map[string]string{
		"keys.ini": "dns_httpreq_endpoint = " + api.URL + "\ndns_httpreq_username = me\ndns_httpreq_password = secret\n", "empty.ini": "",
	} {
		if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	talk := s.talk(s.ca("certonly", "--agree-tos", "-m", "you@mail.example", "-d", "*.example.org", "--dns-resolver", d.Resolver())...)
	talk.expect("it looks into the DNS alone").expect("1: Add records to the DNS").expect("2: Do by hand").send("")
	talk.expect("Which DNS provider").expect("on the command line: --dns PROVIDER").send("cloudfare").expect("there is no DNS provider").
		send("?").expect("these are known: ").expect("cloudflare").expect("(Enter 'c' to cancel): ").send("httpreq")
	talk.expect("Input the path to your").expect("credentials INI file").send("/nonexistent").expect("** Invalid input **").
		send("empty.ini").expect("** Invalid input **").expect("Missing property").send("keys.ini")
	talk.expect("Successfully received certificate.").end(0)
	conf, err := os.ReadFile(s.path("etc/renewal/example.org.conf"))
	if err != nil || !strings.Contains(string(conf), "dns_httpreq_credentials = "+s.path("keys.ini")) {
		t.Errorf("%v\n%s", err, conf)
	}
}

// file is what the instructions say about one.
var file = regexp.MustCompile(`Make a file that holds just this: (\S+) and .*? at this address: http://\S+/acme-challenge/(\S+)`)

func TestSeveralAccounts(t *testing.T) {
	s := newStation(t)
	s.quietly(s.ca("register", "-n", "--agree-tos")...)
	other := *s
	other.work = t.TempDir()
	other.quietly(other.ca("register", "-n", "--agree-tos")...)
	accounts := "etc/accounts/" + strings.TrimPrefix(s.pebble.Directory, "https://")
	if err := os.CopyFS(s.path(accounts), os.DirFS(other.path(accounts))); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-n"}, nil} {
		if got := s.alone(nil, append(s.ca("certonly", "--standalone", "-d", "a.example"), args...)...); got.code != 1 || !strings.Contains(got.text, "--account") {
			t.Errorf("%q: %+v", args, got)
		}
	}
	d := s.talk(s.ca("certonly", "--standalone")...)
	d.expect("Please choose an account").expect("on the command line: --account").expect("[1-2] then [enter]").send("3").expect("enter a number from 1 to 2").send("2")
	d.expect("Please enter the domain name(s)").send("a.example").expect("Successfully received").end(0)
	s.talk(s.ca("certonly", "--standalone", "-d", "b.example")...).expect("Please choose an account").send("c").expect("cancelled by the user").expect("--account ID").end(1)
}

func TestPortTaken(t *testing.T) {
	s := newStation(t)
	release := occupy(t, s.port())
	plain := s.ca("certonly", "--standalone", "--agree-tos", "-m", "you@mail.example", "-d", "a.example")
	for _, args := range [][]string{{"-n"}, nil} {
		if got := s.alone(nil, append(plain, args...)...); got.code != 1 || !strings.Contains(got.text, "--webroot -w DIR") {
			t.Errorf("%q: %+v", args, got)
		}
	}
	d := s.talk(plain...)
	d.expect("Could not bind TCP port").expect("(R)etry/(C)ancel: ").send("r").expect("Could not bind TCP port").expect("(R)etry/(C)ancel: ")
	release()
	d.send("r").expect("Successfully received").end(0)
	defer occupy(t, s.port())()
	s.talk(s.ca("certonly", "--standalone", "-d", "b.example")...).expect("(R)etry/(C)ancel: ").send("c").expect("already in use").expect("hint: stop that program").end(1)
}

func TestOnlyPlainTextIsWritten(t *testing.T) {
	s := newStation(t)
	s.size.Cols = 34
	for _, env := range []string{"TERM=dumb", "NO_COLOR=1", "TERM=xterm-256color"} {
		s.env = []string{env}
		d := s.talk(s.ca("certonly")...)
		d.expect("Please enter the domain name(s) you would like on your certificate").expect("(Enter 'c' to cancel): ").send("a.example\x1b[Ab c.example/x").expect("** Invalid input **").expect("(Enter 'c' to cancel): ")
		text := d.send("c").expect("cancelled by the user").end(1)
		for i, line := range strings.Split(text, "\n") {
			line = strings.TrimRight(line, "\r")
			if strings.Contains(line, "Saving debug log") || strings.Contains(line, "cairnbot: ") || strings.Contains(line, "See the logfile") {
				continue
			}
			if len(line) > 34 && !strings.Contains(line, "^[") {
				t.Errorf("%s: line %d is too long: %q", env, i, line)
			}
			if strings.ContainsAny(strings.ReplaceAll(line, "\x1b[A", ""), "\x1b\x07\x08") {
				t.Errorf("%s: line %d controls the terminal: %q", env, i, line)
			}
		}
	}
}

func TestNobodyWaitsForAPerson(t *testing.T) {
	s := newStation(t)
	s.quietly(s.ca("certonly", "-n", "--standalone", "--agree-tos", "-d", "a.example")...)
	d := s.talk(s.ca("certonly", "--standalone", "-d", "a.example,b.example")...).expect("(E)xpand/(C)ancel: ")
	s.quietly(s.ca("certonly", "-n", "--standalone", "-d", "c.example")...) // the locks are free
	d.send("e").expect("Successfully received").end(0)
	d = s.talk(s.ca("certonly", "--standalone", "-d", "c.example")...).expect("exactly the same domains").expect("(press 'c' to cancel): ")
	s.quietly("renew", "--cert-name", "c.example", "--force-renewal", "--ca-bundle", s.pebble.Bundle)
	d.send("2").expect("the certificate c.example was renewed by another run meanwhile").end(1)
}

func TestQuestionsOfOtherVerbs(t *testing.T) {
	s := newStation(t)
	s.talk(s.ca("register")...).expect("hit Enter to skip.").send("you@mail.example").expect("Do you agree?").send("n").
		expect("without accepting the Terms of Service").end(1)
	s.talk(s.ca("register")...).expect("hit Enter to skip.").send("").expect("Do you agree?").send("y").expect("Account registered.").end(0)
	for _, name := range []string{"a.example", "b.example", "c.example"} {
		s.quietly(s.ca("certonly", "-n", "--standalone", "-d", name)...)
	}
	s.talk("delete").expect("Which certificate(s) would you like to delete?").expect("1: a.example").expect("(Enter 'c' to cancel): ").send("4").
		expect("enter a number from 1 to 3").send("2").expect("* b.example").expect("(Y)es/(N)o: ").send("y").expect("Deleted all files relating to certificate b.example.").end(0)
	s.talk("delete", "--cert-name", "a.example").expect("(Y)es/(N)o: ").send("n").expect("Nothing was deleted.").end(0)
	s.talk(s.ca("revoke", "--cert-name", "a.example")...).expect("(Y)es (recommended)/(N)o: ").send("n").end(0)
	s.talk(s.ca("revoke", "--cert-name", "c.example")...).expect("(Y)es (recommended)/(N)o: ").send("y").expect("Deleted all files").end(0)
	if !s.exists("etc/live/a.example") || s.exists("etc/live/c.example") {
		t.Error("another certificate was deleted than the one that was to be")
	}
	s.talk(s.ca("unregister")...).expect("irrevocably deactivate").expect("(D)eactivate/(A)bort: ").send("a").end(1)
	s.talk(s.ca("unregister")...).expect("(D)eactivate/(A)bort: ").send("d").expect("Account deactivated.").end(0)
}

func TestADryRunIsAlwaysDue(t *testing.T) {
	s := newStation(t)
	s.quietly(s.ca("certonly", "-n", "--standalone", "--agree-tos", "-d", "a.example")...)
	if text := s.quietly(s.ca("certonly", "-n", "--standalone", "-d", "a.example", "--dry-run")...); !strings.Contains(text, "The dry run was successful.") {
		t.Error(text)
	}
}

func TestRunWithoutInstaller(t *testing.T) {
	s := newStation(t)
	plain := s.ca("-d", "a.example", "--standalone", "--agree-tos", "-m", "you@mail.example")
	s.talk(plain...).expect("get the certificate alone").expect("(Y)es/(N)o: ").send("n").expect("you probably want to use the \"certonly\" command").end(1)
	s.talk(plain...).expect("get the certificate alone").expect("(Y)es/(N)o: ").send("").expect("Successfully received").
		expect("ssl_certificate " + s.path("etc/live/a.example/fullchain.pem;")).expect("reconfigure --cert-name a.example").end(0)
}
