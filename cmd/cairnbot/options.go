package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/cairn-ca/cairn/acme"
)

// options is what the command line says. Which options were given, rather than
// defaulted, is in given: only those go into a renewal configuration.
type options struct {
	domains  []string
	certName string

	standalone  bool
	webroot     bool
	webroots    webroots
	httpPort    int
	httpAddress string

	email       string
	noEmail     bool
	agreeTOS    bool
	server      string
	account     string
	caBundle    string
	noVerifySSL bool
	eabKeyID    string
	eabKey      string
	eabAlg      string

	keyType        string
	preferredChain string
	curve          string
	rsaBits        int

	keep   bool
	expand bool
	force  bool

	preHook          string
	postHook         string
	deployHook       string
	noHookCheck      bool
	noDirectoryHooks bool

	certPath          string
	keyPath           string
	reason            string
	deleteAfterRevoke bool
	keepAfterRevoke   bool

	configDir string
	workDir   string
	logsDir   string

	nonInteractive   bool
	forceInteractive bool
	quiet            bool
	verbose          int
	help             bool
	version          bool

	given map[string]bool // long names
}

// The defaults are certbot's.
const (
	defaultServer    = "https://acme-v02.api.letsencrypt.org/directory"
	defaultConfigDir = "/etc/letsencrypt"
	defaultWorkDir   = "/var/lib/letsencrypt"
	defaultLogsDir   = "/var/log/letsencrypt"
)

// option is a row of the table: one option, and all that is known about it.
type option struct {
	name    string
	aliases []string // other long names
	short   string   // one letter, or ""
	arg     string   // what the help calls its value; "" for a switch
	help    string
	group   string // the heading in the help; "" hides it
	target  func(*options) any
}

// Headings of the help.
const (
	groupNames   = "what the certificate is for"
	groupProof   = "how control of the names is proven"
	groupAccount = "which CA, and as whom"
	groupKey     = "the certificate's key"
	groupRenew   = "certificates that exist already"
	groupHooks   = "commands of yours, kept for renewals"
	groupRevoke  = "revoking"
	groupGeneral = "general"
)

// table lists every option, in the order of the help.
var table = []option{
	{name: "domains", aliases: []string{"domain"}, short: "d", arg: "NAME", group: groupNames,
		help:   "a name or several, separated by commas; may be repeated. The first names the certificate's files.",
		target: func(o *options) any { return &domainList{o} }},
	{name: "ip-address", arg: "ADDRESS", group: groupNames,
		help:   "the same for an address; -d takes addresses, too",
		target: func(o *options) any { return &domainList{o} }},
	{name: "cert-name", arg: "NAME", group: groupNames,
		help:   "the name of the certificate's files below live/",
		target: func(o *options) any { return &o.certName }},

	{name: "standalone", group: groupProof,
		help:   "answer the CA with a web server of our own, which needs port 80 for a moment",
		target: func(o *options) any { return &o.standalone }},
	{name: "webroot", group: groupProof,
		help:   "answer the CA through the directory of a web server that is running",
		target: func(o *options) any { return &o.webroot }},
	{name: "webroot-path", short: "w", arg: "DIR", group: groupProof,
		help:   "that directory, for the -d after it; may be repeated",
		target: func(o *options) any { return &webrootPath{o} }},
	{name: "http-01-port", arg: "PORT", group: groupProof,
		help:   "where --standalone listens (80); the CA still connects to port 80, unless it has been told otherwise",
		target: func(o *options) any { return &o.httpPort }},
	{name: "http-01-address", arg: "ADDRESS", group: groupProof,
		help:   "the address on which --standalone listens (all)",
		target: func(o *options) any { return &o.httpAddress }},

	{name: "server", arg: "URL", group: groupAccount,
		help:   "the CA's directory (" + defaultServer + ")",
		target: func(o *options) any { return &o.server }},
	{name: "ca-bundle", arg: "FILE", group: groupAccount,
		help:   "certificates to trust when talking to the CA, instead of the system's (also REQUESTS_CA_BUNDLE)",
		target: func(o *options) any { return &o.caBundle }},
	{name: "no-verify-ssl", group: groupAccount,
		help:   "do not check the CA's own certificate: anyone could pose as the CA",
		target: func(o *options) any { return &o.noVerifySSL }},
	{name: "email", short: "m", arg: "ADDRESS", group: groupAccount,
		help:   "where the CA can reach you; several separated by commas",
		target: func(o *options) any { return &o.email }},
	{name: "register-unsafely-without-email", group: groupAccount,
		help:   "register without an address",
		target: func(o *options) any { return &o.noEmail }},
	{name: "account", arg: "ID", group: groupAccount,
		help:   "which account to use, where there are several",
		target: func(o *options) any { return &o.account }},
	{name: "agree-tos", group: groupAccount,
		help:   "agree to the CA's terms of service",
		target: func(o *options) any { return &o.agreeTOS }},

	{name: "eab-kid", arg: "ID", group: groupAccount,
		help:   "the identifier of a key that the CA gave you to register with (external account binding)",
		target: func(o *options) any { return &o.eabKeyID }},
	{name: "eab-hmac-key", arg: "KEY", group: groupAccount,
		help:   "that key, in base64url",
		target: func(o *options) any { return &o.eabKey }},
	{name: "eab-hmac-alg", arg: "ALG", group: groupAccount,
		help:   "HS256 (the default), HS384 or HS512",
		target: func(o *options) any { return &o.eabAlg }},

	{name: "key-type", arg: "ecdsa|rsa", group: groupKey,
		help: "ecdsa", target: func(o *options) any { return &o.keyType }},
	{name: "elliptic-curve", arg: "CURVE", group: groupKey,
		help: "secp256r1, secp384r1 or secp521r1", target: func(o *options) any { return &o.curve }},
	{name: "rsa-key-size", arg: "BITS", group: groupKey,
		help: "2048", target: func(o *options) any { return &o.rsaBits }},

	{name: "preferred-chain", arg: "ISSUER", group: groupKey,
		help:   "of several chains, take the one that ends below the CA with this common name",
		target: func(o *options) any { return &o.preferredChain }},

	{name: "keep-until-expiring", aliases: []string{"keep", "reinstall"}, group: groupRenew,
		help:   "do nothing while the certificate that is there is good for long enough",
		target: func(o *options) any { return &o.keep }},
	{name: "expand", group: groupRenew,
		help:   "replace a certificate that has some of the names by one with all of them",
		target: func(o *options) any { return &o.expand }},
	{name: "force-renewal", aliases: []string{"renew-by-default"}, group: groupRenew,
		help:   "renew now, due or not; CAs limit how often",
		target: func(o *options) any { return &o.force }},

	{name: "pre-hook", arg: "COMMAND", group: groupHooks,
		help:   "run before a certificate is asked for, such as one that frees port 80",
		target: func(o *options) any { return &o.preHook }},
	{name: "post-hook", arg: "COMMAND", group: groupHooks,
		help:   "run at the end, when a certificate was asked for",
		target: func(o *options) any { return &o.postHook }},
	{name: "deploy-hook", aliases: []string{"renew-hook"}, arg: "COMMAND", group: groupHooks,
		help:   "run for each new certificate, with RENEWED_LINEAGE and RENEWED_DOMAINS set, such as one that reloads the web server",
		target: func(o *options) any { return &o.deployHook }},
	{name: "disable-hook-validation", group: groupHooks,
		help:   "do not check that the commands can be found",
		target: func(o *options) any { return &o.noHookCheck }},
	{name: "no-directory-hooks", group: groupHooks,
		help:   "leave out the scripts in renewal-hooks/ of the configuration directory",
		target: func(o *options) any { return &o.noDirectoryHooks }},

	{name: "cert-path", arg: "FILE", group: groupRevoke,
		help:   "the certificate to revoke, in PEM",
		target: func(o *options) any { return &o.certPath }},
	{name: "key-path", arg: "FILE", group: groupRevoke,
		help:   "its private key, to revoke without the account that got it",
		target: func(o *options) any { return &o.keyPath }},
	{name: "reason", arg: "REASON", group: groupRevoke,
		help:   "unspecified, keycompromise, affiliationchanged, superseded or cessationofoperation",
		target: func(o *options) any { return &o.reason }},
	{name: "delete-after-revoke", group: groupRevoke,
		help:   "delete the files of a certificate once it is revoked (the default)",
		target: func(o *options) any { return &o.deleteAfterRevoke }},
	{name: "no-delete-after-revoke", group: groupRevoke,
		help:   "keep them",
		target: func(o *options) any { return &o.keepAfterRevoke }},

	{name: "config-dir", arg: "DIR", group: groupGeneral,
		help: defaultConfigDir, target: func(o *options) any { return &o.configDir }},
	{name: "work-dir", arg: "DIR", group: groupGeneral,
		help: defaultWorkDir, target: func(o *options) any { return &o.workDir }},
	{name: "logs-dir", arg: "DIR", group: groupGeneral,
		help: defaultLogsDir, target: func(o *options) any { return &o.logsDir }},
	{name: "non-interactive", aliases: []string{"noninteractive"}, short: "n", group: groupGeneral,
		help:   "never ask: take the default, or fail with the name of the option that would have answered",
		target: func(o *options) any { return &o.nonInteractive }},
	{name: "force-interactive", group: groupGeneral,
		help:   "ask although standard input is no terminal",
		target: func(o *options) any { return &o.forceInteractive }},
	{name: "quiet", short: "q", group: groupGeneral,
		help: "say nothing but errors", target: func(o *options) any { return &o.quiet }},
	{name: "verbose", short: "v", group: groupGeneral,
		help: "say more; -vv shows what is sent and received", target: func(o *options) any { return &count{&o.verbose} }},
	{name: "no-random-sleep-on-renew", // certbot's timers say so; we never sleep
		target: func(o *options) any { return new(bool) }},
	{name: "help", short: "h", group: groupGeneral,
		help: "show this", target: func(o *options) any { return &o.help }},
	{name: "version", group: groupGeneral,
		help: "show the version", target: func(o *options) any { return &o.version }},
}

// parseOptions reads normalised arguments: see normalise.
func parseOptions(arguments []string) (*options, error) {
	o := &options{
		httpPort: 80, server: defaultServer,
		configDir: defaultConfigDir, workDir: defaultWorkDir, logsDir: defaultLogsDir,
		given: make(map[string]bool),
	}
	flags := pflag.NewFlagSet("cairnbot", pflag.ContinueOnError)
	for _, row := range table {
		switch target := row.target(o).(type) {
		case *bool:
			flags.BoolVarP(target, row.name, row.short, *target, row.help)
		case *int:
			flags.IntVarP(target, row.name, row.short, *target, row.help)
		case *string:
			flags.StringVarP(target, row.name, row.short, *target, row.help)
		case pflag.Value:
			flag := flags.VarPF(target, row.name, row.short, row.help)
			if row.arg == "" {
				flag.NoOptDefVal = "true"
			}
		}
	}
	if err := flags.Parse(arguments); err != nil {
		return nil, parseError(err)
	}
	flags.Visit(func(f *pflag.Flag) { o.given[f.Name] = true })
	return o, o.check()
}

// parseError puts an error of pflag into our words. A name that cannot be is no
// error of usage: certbot's exit code for it is 1, too.
func parseError(err error) error {
	var name *nameError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &name):
		return name
	case errors.As(err, &invalid):
		return usagef("argument --%s: invalid value: %q", invalid.GetFlag().Name, invalid.GetValue())
	default:
		return usagef("%v", err)
	}
}

// nameError says that something is not a name for a certificate.
type nameError struct{ reason string }

func (e *nameError) Error() string { return e.reason }

// check refuses combinations that cannot be meant.
func (o *options) check() error {
	for _, dir := range []*string{&o.configDir, &o.workDir, &o.logsDir, &o.caBundle} {
		if *dir == "" {
			continue
		}
		absolute, err := filepath.Abs(*dir) // renewals start elsewhere
		if err != nil {
			return err
		}
		*dir = absolute
	}
	switch {
	case o.standalone && o.webroot:
		return usagef("--standalone and --webroot exclude each other")
	case o.email != "" && o.noEmail:
		return usagef("--email and --register-unsafely-without-email exclude each other")
	case o.deleteAfterRevoke && o.keepAfterRevoke:
		return usagef("--delete-after-revoke and --no-delete-after-revoke exclude each other")
	case o.nonInteractive && o.forceInteractive:
		return usagef("--non-interactive and --force-interactive exclude each other")
	case o.httpPort < 1 || o.httpPort > 65535:
		return usagef("argument --http-01-port: %d is not a port", o.httpPort)
	case o.given["key-type"] && o.keyType != "ecdsa" && o.keyType != "rsa":
		return usagef("argument --key-type: invalid choice: %q (choose ecdsa or rsa)", o.keyType)
	}
	return o.webroots.check()
}

// domainList takes -d: names separated by commas, each with the webroot before it.
type domainList struct{ o *options }

func (d *domainList) Type() string   { return "NAME" }
func (d *domainList) String() string { return "" }
func (d *domainList) Set(text string) error {
	for name := range strings.SplitSeq(text, ",") {
		name, err := checkDomain(strings.TrimSpace(name))
		if err != nil {
			return err
		}
		if !slices.Contains(d.o.domains, name) {
			d.o.domains = append(d.o.domains, name)
		}
		d.o.webroots.name(name)
	}
	return nil
}

// checkDomain returns the canonical form of a name that a person typed.
func checkDomain(name string) (string, error) {
	switch {
	case name == "":
		return "", &nameError{"a name after -d is empty"}
	case strings.Contains(name, "://"):
		return "", &nameError{fmt.Sprintf("requested name %s appears to be a URL, not a FQDN: leave out the leading %q",
			name, name[:strings.Index(name, "://")+3])}
	case strings.ContainsFunc(name, func(r rune) bool { return r > 127 }):
		return "", &nameError{"non-ASCII domain names are not supported: write an internationalized name in Punycode (xn--…)"}
	}
	// Whether there may be a "_" in a name is for the CA to say.
	plain := acme.IdentifierFor(strings.ReplaceAll(name, "_", "x"))
	if _, problem := plain.Normalize(); problem != nil {
		return "", &nameError{strings.ReplaceAll(problem.Detail, plain.Value, name)}
	}
	return acme.IdentifierFor(name).Value, nil
}

// webroots remembers which -w stood before which -d.
type webroots struct {
	paths   []string          // in their order
	byName  map[string]string // a name → the -w before it
	waiting []string          // names before the first -w
	early   bool              // a -d stood before the first -w
}

func (w *webroots) name(name string) {
	if len(w.paths) == 0 {
		w.waiting, w.early = append(w.waiting, name), true
		return
	}
	w.assign(name, w.paths[len(w.paths)-1])
}

func (w *webroots) assign(name, path string) {
	if w.byName == nil {
		w.byName = make(map[string]string)
	}
	w.byName[name] = path
}

// check enforces that it is clear which webroot belongs to which name.
func (w *webroots) check() error {
	if w.early && len(w.paths) > 1 {
		return errors.New("if you specify multiple webroot paths, one of them must precede all --domain flags")
	}
	return nil
}

// webrootPath takes -w.
type webrootPath struct{ o *options }

func (w *webrootPath) Type() string   { return "DIR" }
func (w *webrootPath) String() string { return "" }
func (w *webrootPath) Set(text string) error {
	path, err := filepath.Abs(text)
	if err != nil {
		return err
	}
	roots := &w.o.webroots
	roots.paths = append(roots.paths, path)
	for _, name := range roots.waiting { // names before the first -w take it
		roots.assign(name, path)
	}
	roots.waiting = nil
	return nil
}

// count takes -v, which may be repeated.
type count struct{ n *int }

func (c *count) Type() string     { return "count" }
func (c *count) String() string   { return strconv.Itoa(*c.n) }
func (c *count) Set(string) error { *c.n++; return nil }
