package main

import (
	"path/filepath"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/command"
)

// options is what the command line and cli.ini say. Fields are set to their defaults
// where they say nothing; given tells the difference.
type options struct {
	// Names, and which certificate.
	domains  []string
	certName string
	csr      string

	// Methods; see requested.
	authenticator string
	installer     string
	configurator  string
	chosen        []string          // by switches: --standalone, --dns-ovh
	plugin        map[string]string // values for methods, by their names in renewal configurations
	webroots      webroots
	dns           dnsOptions
	httpPort      int
	httpAddress   string
	httpsPort     int

	// The CA, and who we are to it.
	server      string
	staging     bool
	caBundle    string
	noVerifySSL bool
	email       string
	noEmail     bool
	agreeTOS    bool
	effEmail    bool
	account     string
	eabKeyID    string
	eabKey      string
	eabAlg      string

	// The certificate.
	keyType             string
	curve               string
	rsaBits             int
	bothKeyTypes        bool
	twinOf              string // set by obtainTwin alone
	mustStaple          bool
	preferredChain      string
	preferredProfile    string
	requiredProfile     string
	preferredChallenges []string // types of RFC 8555, such as http-01
	issuanceTimeout     int      // seconds

	// Certificates that exist.
	keep                 bool
	expand               bool
	force                bool
	renewWithNewDomains  bool
	duplicate            bool
	allowSubset          bool
	reuseKey             bool
	newKey               bool
	autoRenew            bool
	noRandomSleep        bool
	noRenewUpdates       bool
	parallel             int
	fallbackServers      []string
	lockWait             time.Duration
	breakMyCerts         bool
	dryRun               bool
	debugChallenges      bool
	preconfiguredRenewal bool

	// The web server.
	redirect   bool
	hsts       bool
	uir        bool
	stapleOCSP bool
	autoHSTS   bool

	// Hooks.
	preHook          string
	postHook         string
	deployHook       string
	noHookCheck      bool
	noDirectoryHooks bool
	runDeployHooks   bool

	// Paths.
	configFile    string
	configDir     string
	workDir       string
	logsDir       string
	certPath      string
	keyPath       string
	fullchainPath string
	chainPath     string

	// Single verbs.
	reason             string
	deleteAfterRevoke  bool
	checkpoints        int
	pluginsInit        bool
	pluginsPrepare     bool
	onlyAuthenticators bool
	onlyInstallers     bool

	// Beside certificates.
	notify      []string // targets
	metricsFile string

	rehearse        bool
	rehearseAddress string // where the CA of a rehearsal finds every name
	service
	managing

	// How we speak.
	verbose           int
	quiet             bool
	text              bool
	json              bool
	nonInteractive    bool
	forceInteractive  bool
	debug             bool
	maxLogBackups     int
	strictPermissions bool
	userAgent         string
	userAgentComment  string
	version           bool

	given      map[string]bool // by what was set (Option.Dest), whoever set it
	sources    command.Sources // the same, and who
	deprecated []string        // options that were given, and do nothing any more
	said       []string        // all that was given, for the log: without secrets
}

// The defaults are certbot's.
const (
	defaultServer     = "https://acme-v02.api.letsencrypt.org/directory"
	stagingServer     = "https://acme-staging-v02.api.letsencrypt.org/directory"
	defaultConfigDir  = "/etc/letsencrypt"
	defaultConfigFile = "/etc/letsencrypt/cli.ini"
	defaultWorkDir    = "/var/lib/letsencrypt"
	defaultLogsDir    = "/var/log/letsencrypt"
)

// newOptions are those of somebody who said nothing.
func newOptions() *options {
	return &options{
		service: service{tlsPort: 443, hookTimeout: time.Hour, runAs: "cairnbot"},
		plugin:  make(map[string]string), httpPort: 80, httpsPort: 443, server: defaultServer, eabAlg: "HS256",
		keyType: "ecdsa", issuanceTimeout: 90, parallel: 8, autoRenew: true, deleteAfterRevoke: true, checkpoints: 1,
		configDir: defaultConfigDir, workDir: defaultWorkDir, logsDir: defaultLogsDir, maxLogBackups: 1000,
	}
}

// parse reads a command line, and the files behind it.
func (p process) parse(argv []string) (command.Line, *options, error) {
	words := language()
	line, err := words.Read(argv)
	if err != nil || line.Help {
		return line, nil, err
	}
	files, err := p.configFiles(words, line)
	if err != nil {
		return line, nil, err
	}
	o := newOptions()
	all := words.Overlay(files, line.Settings)
	if o.sources, o.deprecated, err = words.Apply(o, all); err != nil {
		return line, nil, err
	}
	o.said = words.Say(all)
	o.given = make(map[string]bool)
	for _, row := range words.Options {
		for _, name := range []string{row.Name, row.Dest} {
			if name != "" && o.sources.Of(name) != command.Default {
				o.given[name] = true
			}
		}
	}
	return line, o, o.check(line.Verb)
}

// check refuses combinations that cannot be meant, and draws the conclusions from those that can.
func (o *options) check(verb string) error {
	for _, dir := range []*string{&o.configDir, &o.workDir, &o.logsDir, &o.caBundle, &o.metricsFile} {
		if *dir == "" {
			continue
		}
		absolute, err := filepath.Abs(*dir) // renewals start elsewhere
		if err != nil {
			return err
		}
		*dir = absolute
	}
	for name, port := range map[string]int{"http-01-port": o.httpPort, "https-port": o.httpsPort, "tls-alpn-01-port": o.tlsPort} {
		if port < 1 || port > 65535 {
			return usagef("argument --%s: %d is not a port", name, port)
		}
	}
	if o.parallel < 1 || o.parallel > maxParallel {
		return usagef("argument --parallel: it must be from 1 to %d", maxParallel)
	}
	if o.maxLogBackups < 0 {
		return usagef("argument --max-log-backups: it must be 0 or more")
	}
	o.newKeys = verb == "certonly" || verb == "run" || verb == ""
	if o.quiet || o.json || verb == "renew" {
		o.nonInteractive = true
	}
	for _, check := range []func(string) error{o.checkMeaning, o.checkServer, o.checkExports} {
		if err := check(verb); err != nil {
			return err
		}
	}
	return o.webroots.check()
}

// set notes that the program itself has set something, as if the user had.
func (o *options) set(dest string) {
	o.given[dest] = true
	o.sources.Set(dest)
}
