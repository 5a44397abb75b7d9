package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/ask"
	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/registry"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
	"github.com/cairn-ca/cairn/internal/bot/solve"
)

// profilesFile is where profiles are, below the configuration directory.
const profilesFile = "dns-profiles.ini"

// Keys of our own section in renewal configurations. None has a secret: the files that they name have.
const (
	ownDNSProfile   = "dns_profile"
	ownDNSProfiles  = "dns_profiles"
	ownDNSResolver  = "dns_resolver"
	ownDNSNoCheck   = "dns_no_check"
	ownDNSResponder = "dns_responder_address"
	ownDNSPersist   = "dns_persist" // "create", or nothing
	ownDNSDays      = "dns_persist_days"
	ownDNSUntil     = "dns_persist_until" // when the first of the records ends
)

// settleDNS lays what was given for every provider over what the certificate has. rules are those of --method.
func (o *options) settleDNS(conf *lineage.Conf, p *lineage.Params, rules []string) dnsOptions {
	var d dnsOptions
	if conf != nil {
		d = dnsOptions{
			profile: conf.Own(ownDNSProfile), profiles: conf.Own(ownDNSProfiles), responder: conf.Own(ownDNSResponder),
			noCheck: conf.Own(ownDNSNoCheck) != "", persistCreate: conf.Own(ownDNSPersist) == "create",
		}
		d.persistDays, _ = strconv.Atoi(conf.Own(ownDNSDays))
		if list := conf.Own(ownDNSResolver); list != "" {
			d.resolvers = strings.Split(list, " ")
		}
	}
	for name, text := range map[string]struct{ from, to *string }{
		"dns-profile": {&o.dns.profile, &d.profile}, "dns-profiles": {&o.dns.profiles, &d.profiles},
		"dns-responder-address": {&o.dns.responder, &d.responder},
	} {
		if o.given[name] {
			*text.to = *text.from
		}
	}
	if o.given["dns-resolver"] {
		d.resolvers = o.dns.resolvers
	}
	if o.given["dns-no-check"] {
		d.noCheck = o.dns.noCheck
	}
	if o.given["dns-persist-create"] {
		d.persistCreate = o.dns.persistCreate
	}
	if o.given["dns-persist-days"] {
		d.persistDays = o.dns.persistDays
	}
	if o.given["dns-profile"] && p.Authenticator == "" {
		p.Authenticator = byProfiles
	}
	methods := []string{p.Authenticator}
	for _, rule := range rules {
		if _, method, err := solve.ParseRule(rule); err == nil {
			methods = append(methods, method)
		}
	}
	for _, method := range methods {
		o.settleDNSMethod(p, method)
	}
	return d
}

// settleDNSMethod keeps what goes for any provider under the name that certbot's plugin has for it, and makes paths
// absolute, since renewals start elsewhere.
func (o *options) settleDNSMethod(p *lineage.Params, method string) {
	if !isDNS(method) {
		return
	}
	set := func(suffix, value string) {
		if p.Plugin == nil {
			p.Plugin = make(map[string]string)
		}
		p.Plugin[dnsKey(method, suffix)] = value
	}
	if o.given["dns-credentials"] {
		set("credentials", o.dns.credentials)
	}
	if o.given["dns-propagation-seconds"] {
		set("propagation_seconds", strconv.Itoa(o.dns.propagation))
	}
	if path := p.Plugin[dnsKey(method, "credentials")]; path != "" && !strings.HasPrefix(path, "~") {
		if absolute, err := filepath.Abs(path); err == nil {
			set("credentials", absolute)
		}
	}
}

func isDNS(authenticator string) bool { return strings.HasPrefix(authenticator, "dns-") }

// dnsKey is the key of a plugin's setting in a renewal configuration.
func dnsKey(authenticator, suffix string) string {
	return strings.ReplaceAll(authenticator, "-", "_") + "_" + suffix
}

// own is what of d is kept for renewals. An empty value takes a key out.
func (d *dnsOptions) own() map[string]string {
	own := map[string]string{
		ownDNSProfile: d.profile, ownDNSProfiles: d.profiles, ownDNSResolver: strings.Join(d.resolvers, " "),
		ownDNSResponder: d.responder, ownDNSNoCheck: "", ownDNSPersist: "", ownDNSDays: "",
	}
	if d.noCheck {
		own[ownDNSNoCheck] = "yes"
	}
	if d.persistCreate {
		own[ownDNSPersist] = "create"
	}
	if d.persistDays > 0 {
		own[ownDNSDays] = strconv.Itoa(d.persistDays)
	}
	return own
}

// dnsShared is what all certificates of a run have in common. It is for several at once.
type dnsShared struct {
	mu        sync.Mutex
	routers   map[string]*dns.Router   // by what they are made of
	resolvers map[string]*dns.Resolver // by their servers
	warned    map[string]bool
}

// dnsProof is what a certificate's solver found out, for what is kept afterwards.
type dnsProof struct {
	mu    sync.Mutex
	until time.Time // when the first record of dns-persist-01 ends; zero for never
}

func (p *dnsProof) found(f dns.PersistFound) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !f.Until.IsZero() && (p.until.IsZero() || f.Until.Before(p.until)) {
		p.until = f.Until
	}
}

// ends is when the first record ends, as it is kept; "" for never.
func (p *dnsProof) ends() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until.IsZero() {
		return ""
	}
	return p.until.UTC().Format(time.RFC3339)
}

// dnsChallenges are the kinds of challenge that the DNS has answers to. The last one only for who asks for it.
var dnsChallenges = []acme.ChallengeType{acme.DNS01, acme.DNSAccount01, acme.DNSPersist01}

// dnsSolver makes what proves control of names by records, with a method of that kind.
func (a *app) dnsSolver(s *settings, method string, names []acme.Identifier, preferred []acme.ChallengeType) (renew.Solver, error) {
	types, err := s.dnsTypes(method, preferred)
	if err != nil {
		return nil, err
	}
	resolver, err := a.dnsResolver(s.dns.resolvers)
	if err != nil {
		return nil, err
	}
	route := noProvider
	if s.needsProvider(types) {
		router, err := a.dnsRouter(s, method, resolver)
		if err == nil {
			err = checkProviders(router, names)
		}
		var file *fs.PathError
		if errors.As(err, &file) {
			err = withHint(err, "%s names the file with the provider's keys, which this user must be able to read", credentialsFlag(method))
		}
		if err != nil {
			return nil, a.explainDNS(err)
		}
		route = router.Route
	}
	if s.records == nil {
		s.records = new(dnsProof)
	}
	persist := dns.Persist{Create: s.dns.persistCreate, For: time.Duration(s.dns.persistDays) * 24 * time.Hour, Found: s.records.found}
	if a.ask.Interactive(false) {
		persist.Missing = a.sayPersist
	}
	return dns.NewSolver(dns.Config{
		Route: route, Resolver: resolver, Types: types, NoCheck: s.dns.noCheck, Persist: persist, Log: a.log,
		Waiting: func(limit time.Duration) {
			a.say("Waiting %d seconds for DNS changes to propagate, at most", int(limit.Seconds()))
		},
	})
}

// dnsTypes are the challenges that a method answers: as preferred, where it can, and dns-persist-01 only for who asks for it.
func (s *settings) dnsTypes(method string, preferred []acme.ChallengeType) ([]acme.ChallengeType, error) {
	switch {
	case method == byPersist:
		return []acme.ChallengeType{acme.DNSPersist01}, nil
	case len(preferred) == 0:
		return dnsChallenges[:2], nil
	}
	return s.kinds(method, preferred, dnsChallenges...)
}

// needsProvider reports whether records are to be made for challenges. That of dns-persist-01 is there, or people make it.
func (s *settings) needsProvider(types []acme.ChallengeType) bool {
	return s.dns.persistCreate || !slices.Equal(types, []acme.ChallengeType{acme.DNSPersist01})
}

func noProvider(...string) (*dns.Route, error) { return nil, dns.ErrNoProfile }

// checkProviders has the provider of each name made, before anything is asked of the CA. A name without a profile of its
// own may yet be an alias of one that has.
func checkProviders(router *dns.Router, names []acme.Identifier) error {
	for _, name := range names {
		base, _ := name.Base()
		if base.Type != acme.DNS {
			return fmt.Errorf("the DNS cannot prove control of the address %s: use another method for it", base.Value)
		}
		if _, err := router.Route(base.Value); err != nil && !errors.Is(err, dns.ErrNoProfile) {
			return err
		}
	}
	return nil
}

// sayPersist shows the record that dns-persist-01 needs.
func (a *app) sayPersist(name, value string) {
	a.say("\nPlease create this DNS TXT record. It stays, and lets this account have certificates without further changes:")
	a.say("\n  %s.  TXT  \"%s\"\n", name, value)
	a.say("It is looked for until it can be seen. Ctrl-C ends that; the record can be created later, too.")
}

// dnsResolver makes the resolver for servers, once.
func (a *app) dnsResolver(servers []string) (*dns.Resolver, error) {
	a.dnsShared.mu.Lock()
	defer a.dnsShared.mu.Unlock()
	key := strings.Join(servers, " ")
	if known, ok := a.dnsShared.resolvers[key]; ok {
		return known, nil
	}
	made, err := dns.NewResolver(dns.ResolverConfig{Servers: servers, Log: a.log})
	if err != nil {
		return nil, err
	}
	if a.dnsShared.resolvers == nil {
		a.dnsShared.resolvers = make(map[string]*dns.Resolver)
	}
	a.dnsShared.resolvers[key] = made
	return made, nil
}

// dnsRouter makes what finds the providers for a certificate's names, once for all certificates that need the same.
func (a *app) dnsRouter(s *settings, method string, resolver *dns.Resolver) (*dns.Router, error) {
	config := a.routerConfig(s, method, resolver)
	entry, err := a.chooseProvider(s, method, &config)
	if err != nil {
		return nil, err
	}
	if missing, err := lacksCredentials(&config, entry); err != nil || missing {
		return nil, cmp.Or(err, error(&ask.MissingError{Question: credentialsQuestion(entry), Flag: credentialsFlag(method)}))
	}
	key := fmt.Sprintf("%q", []string{config.Provider, config.File, config.Profile, s.dns.profiles, config.Propagation.String(),
		fmt.Sprint(config.Extra), strings.Join(s.dns.resolvers, " ")})
	a.dnsShared.mu.Lock()
	defer a.dnsShared.mu.Unlock()
	if known, ok := a.dnsShared.routers[key]; ok {
		return known, nil
	}
	made, err := dns.NewRouter(config)
	if err != nil {
		return nil, err
	}
	if a.dnsShared.routers == nil {
		a.dnsShared.routers = make(map[string]*dns.Router)
	}
	a.dnsShared.routers[key] = made
	return made, nil
}

// dnsTimeout is for one request to a provider's API.
const dnsTimeout = 60 * time.Second

// routerConfig is all that does not depend on the provider.
func (a *app) routerConfig(s *settings, method string, resolver *dns.Resolver) dns.RouterConfig {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = 64 << 10
	config := dns.RouterConfig{
		Find: registry.Find, Profile: s.dns.profile, Credentials: a.dnsCredentials(), Extra: make(map[string]string),
		Settings: dns.Settings{
			HTTP: &http.Client{Transport: transport, Timeout: dnsTimeout}, Log: a.log, Environ: a.environ, Environment: a.environment, Resolver: resolver,
		},
	}
	path := s.dns.profiles
	if path == "" {
		path = filepath.Join(a.configDir, profilesFile)
	}
	config.Profiles = sync.OnceValues(func() (*dns.Profiles, error) {
		profiles, err := config.Credentials.Profiles(config.Credentials.Expand(path))
		if errors.Is(err, fs.ErrNotExist) && s.dns.profiles == "" && s.dns.profile == "" && method != byProfiles && method != byPersist {
			return nil, nil // nobody has asked for it
		}
		return profiles, err
	})
	return config
}

// dnsCredentials reads files and variables with keys.
func (a *app) dnsCredentials() dns.Credentials {
	c := dns.Credentials{
		Home: a.getenv("HOME"), Directory: a.getenv("CREDENTIALS_DIRECTORY"), Strict: a.strictPermissions, Warn: a.warnOnce,
		Lookup: func(name string) (string, bool) { value := a.getenv(name); return value, value != "" },
	}
	if a.environment != nil {
		c.Lookup = a.environment.Lookup
	}
	return c
}

// warnOnce says something about the machine that many certificates would otherwise say again.
func (a *app) warnOnce(text string) {
	a.dnsShared.mu.Lock()
	said := a.dnsShared.warned[text]
	if a.dnsShared.warned == nil {
		a.dnsShared.warned = make(map[string]bool)
	}
	a.dnsShared.warned[text] = true
	a.dnsShared.mu.Unlock()
	if !said {
		logOnly(a.log).Warn(text)
	}
	if !said && !a.quiet {
		fmt.Fprintln(a.err, text)
	}
}

// chooseProvider says which provider the method means, and what it is made with. The entry is empty where profiles decide.
func (a *app) chooseProvider(s *settings, method string, c *dns.RouterConfig) (entry dns.Entry, err error) {
	plugin := func(suffix string) string { return s.params.Plugin[dnsKey(method, suffix)] }
	c.File = plugin("credentials")
	if text := plugin("propagation_seconds"); text != "" {
		n, err := strconv.ParseUint(text, 10, 20)
		if err != nil {
			return entry, fmt.Errorf("%s is %q, which is no number of seconds", dnsKey(method, "propagation_seconds"), text)
		}
		c.Propagation = dns.Limit(n)
	} else if i := slices.IndexFunc(dnsPlugins(), func(p dnsPlugin) bool { return method == "dns-"+p.name }); i >= 0 && s.dns.noCheck {
		c.Propagation = time.Duration(dnsPlugins()[i].wait) * time.Second // as certbot waits, which cannot look
	}
	switch method {
	case byProfiles, byPersist:
		return entry, nil
	case "dns-multi":
		if c.File == "" {
			return entry, &ask.MissingError{Question: "Input the path to your DNS credentials INI file", Flag: "--dns-multi-credentials"}
		}
		c.Provider, err = c.Credentials.Multi(c.File)
		return entry, err
	}
	entry, ok := registry.Find(method)
	if !ok {
		return entry, notInstalled(method)
	}
	c.Provider = entry.Name
	switch {
	case entry.Name == "responder":
		c.Extra["address"] = responderAddress(s.dns.responder, plugin("address"), plugin("ipv6_address"), plugin("port"))
	case entry.Name == "google" && plugin("project") != "":
		c.Extra["project"] = plugin("project")
	}
	return entry, nil
}

// responderAddress is where the responder listens: as we are told, or as the plugin dns-standalone was.
func responderAddress(own string, plugin ...string) string {
	if own != "" {
		return own
	}
	var list []string
	for _, address := range plugin[:2] {
		switch {
		case address == "":
		case plugin[2] == "":
			list = append(list, address)
		case strings.Contains(address, ":"):
			list = append(list, "["+address+"]:"+plugin[2])
		default:
			list = append(list, address+":"+plugin[2])
		}
	}
	if len(list) == 0 && plugin[2] != "" {
		list = []string{"0.0.0.0:" + plugin[2], "[::]:" + plugin[2]}
	}
	return strings.Join(list, ",")
}

// lacksCredentials reports whether a provider cannot do without keys, and nothing has them.
func lacksCredentials(c *dns.RouterConfig, entry dns.Entry) (bool, error) {
	needs := slices.ContainsFunc(entry.Keys, func(k dns.Key) bool { return k.Needed }) ||
		slices.ContainsFunc(dnsPlugins(), func(p dnsPlugin) bool { return entry.Is(p.name) })
	if c.File != "" || c.Profile != "" || entry.Optional || !needs {
		return false, nil
	}
	values, err := c.Credentials.FromEnvironment(entry)
	if err != nil || len(values) > 0 {
		return false, err
	}
	profiles, err := c.Profiles()
	return profiles == nil, err
}

func credentialsQuestion(entry dns.Entry) string {
	return fmt.Sprintf("Input the path to your %s credentials INI file", entry.Title)
}

// askCredentials asks for the file with the keys of a method, where it needs one.
func (a *app) askCredentials(ctx context.Context, s *settings, method string) error {
	preferred, err := solve.ParseChallenges(s.params.PreferredChallenges)
	if err != nil {
		return err
	}
	if types, err := s.dnsTypes(method, preferred); err != nil || !s.needsProvider(types) || method == byProfiles || method == byPersist {
		return err
	}
	c := a.routerConfig(s, method, nil)
	entry, err := a.chooseProvider(s, method, &c)
	if err != nil {
		return err
	}
	if missing, err := lacksCredentials(&c, entry); err != nil || !missing {
		return err
	}
	path, err := a.ask.Input(ctx, ask.Input{
		Question: ask.Question{Text: credentialsQuestion(entry), Flag: credentialsFlag(method)},
		Check: func(path string) (string, error) {
			path, err := filepath.Abs(c.Credentials.Expand(path))
			if err == nil {
				_, err = c.Credentials.File(entry, path) // tells what it lacks
			}
			return path, err
		},
	})
	if err == nil {
		a.plugin[dnsKey(method, "credentials")] = path
	}
	return err
}

// credentialsFlag is the option that names a method's credential file.
func credentialsFlag(method string) string {
	name := strings.TrimPrefix(method, "dns-")
	if slices.Contains(otherPlugins(), name) || slices.ContainsFunc(dnsPlugins(), func(p dnsPlugin) bool { return p.name == name }) {
		return "--" + method + "-credentials"
	}
	return "--dns-credentials"
}

// explainDNS adds what can be done about errors with providers and their keys.
func (a *app) explainDNS(err error) error {
	var missing *dns.MissingRecord
	var unsafe *dns.UnsafeError
	var hinted *hinted
	switch {
	case err == nil, errors.As(err, &hinted):
		return err
	case errors.As(err, &missing):
		return withHint(err, "create this TXT record at %s, once: \"%s\"; then run this again (or give --dns-persist-create, if the provider can)", missing.Name, missing.Value)
	case errors.Is(err, dns.ErrNoZone):
		return withHint(err, "can this machine reach a resolver (--dns-resolver ADDRESS names one), and is the domain registered and delegated? "+
			"--dns-no-check asks nobody, and waits")
	case errors.As(err, &unsafe):
		return withHint(err, "%s (or leave --strict-permissions out)", unsafe.Remedy())
	}
	return err
}

// persistWarning is how long before its end a record of dns-persist-01 is spoken of.
const persistWarning = 30 * 24 * time.Hour

// watchPersist warns of a record that will end soon: without it the next renewal fails.
func (a *app) watchPersist(l *lineage.Lineage, now time.Time) {
	until, err := time.Parse(time.RFC3339, l.Conf.Own(ownDNSUntil))
	if err != nil || now.Add(persistWarning).Before(until) {
		return
	}
	a.warnOnce(fmt.Sprintf("The dns-persist-01 record for the certificate %s ends on %s (persistUntil): put a new one in its place before.",
		l.Name, until.UTC().Format(time.DateOnly)))
}
