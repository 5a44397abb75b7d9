package main

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// ownBundle is the key of our own section in renewal configurations for --ca-bundle.
const ownBundle = "ca_bundle"

// settings are what one certificate is obtained with: the command line laid over
// the renewal configuration, where there is one.
type settings struct {
	params lineage.Params
	bundle string
	twinOf string // see ownTwin
	key    renew.KeySpec
	proof
	exports map[string]string // our own keys for files in other forms, and for access to the key
	dns     dnsOptions
	records *dnsProof // what the solver for the DNS has found out; nil without one
	// fallbacks are the CAs that may be asked when the first does not work; see renewOne.
	fallbacks []string
	replaces  bool              // the certificate that is replaced is from the same CA
	from      map[string]string // what our section of the configuration keeps about that; see renewOne
}

// settle lays what was given on the command line over conf, which may be nil.
func (o *options) settle(conf *lineage.Conf) (settings, error) {
	var s settings
	s.replaces = conf != nil // and see below
	if conf != nil {
		var err error
		if s.params, err = conf.Params(); err != nil {
			return s, err
		}
		s.bundle, s.twinOf = conf.Own(ownBundle), conf.Own(ownTwin)
		s.fallbacks = splitServers(conf.Own(ownFallbacks))
	}
	if o.twinOf != "" {
		s.twinOf = o.twinOf
	}
	s.proof, s.exports = o.settleProof(conf), o.settleExports(conf)
	p := &s.params
	if o.newKeys { // as with certbot, which curve, size or old key is said anew each time; renewals keep to what was said last
		p.ReuseKey, p.EllipticCurve, p.RSAKeySize = false, "", 0
	}
	before := p.Server
	o.settleServer(p)
	if s.replaces = s.replaces && p.Server == before; o.given["server"] {
		s.from = map[string]string{ownFirst: "", ownFirstID: ""} // this one is wanted from now on
	}
	if o.given["fallback-server"] {
		s.fallbacks = o.fallbackServers
	}
	if o.given["ca-bundle"] {
		s.bundle = o.caBundle
	}
	o.settleMethod(p)
	o.settleValues(p)
	s.dns = o.settleDNS(conf, p, s.methods)
	return s, o.settleKey(&s)
}

// settleServer decides which CA is asked, and as whom. A dry run stays away from Let's Encrypt's real server, also where
// the certificate is from there; another CA is asked itself.
func (o *options) settleServer(p *lineage.Params) {
	before := p.Server
	if o.given["server"] || p.Server == "" {
		p.Server = o.server
	}
	if o.dryRun && p.Server == defaultServer {
		p.Server = stagingServer
	}
	if o.given["account"] {
		p.Account = o.account
	} else if p.Server != before {
		p.Account = "" // an account is known to one CA only
	}
}

// settleValues takes over what was given; what was not stays as the certificate has it. Whatever
// is in p afterwards is kept for renewals, and a default that nobody has chosen is not.
func (o *options) settleValues(p *lineage.Params) {
	for name, text := range map[string]struct{ from, to *string }{
		"pre-hook": {&o.preHook, &p.PreHook}, "post-hook": {&o.postHook, &p.PostHook}, "deploy-hook": {&o.deployHook, &p.DeployHook},
		"preferred-chain":   {&o.preferredChain, &p.PreferredChain},
		"preferred-profile": {&o.preferredProfile, &p.PreferredProfile}, "required-profile": {&o.requiredProfile, &p.RequiredProfile},
		"user-agent": {&o.userAgent, &p.UserAgent}, "http-01-address": {&o.httpAddress, &p.HTTP01Address},
		"config-dir": {&o.configDir, &p.ConfigDir}, "work-dir": {&o.workDir, &p.WorkDir}, "logs-dir": {&o.logsDir, &p.LogsDir},
	} {
		if o.given[name] {
			*text.to = *text.from
		}
	}
	for name, flag := range map[string]struct{ from, to *bool }{
		"reuse-key": {&o.reuseKey, &p.ReuseKey}, "must-staple": {&o.mustStaple, &p.MustStaple},
		"allow-subset-of-names": {&o.allowSubset, &p.AllowSubsetOfNames},
	} {
		if o.given[name] {
			*flag.to = *flag.from
		}
	}
	if o.given["autorenew"] {
		p.NoAutoRenew = !o.autoRenew
	}
	if o.given["http-01-port"] {
		p.HTTP01Port = o.httpPort
	}
	if o.given["preferred-challenges"] {
		p.PreferredChallenges = o.preferredChallenges
	}
	if len(o.plugin) > 0 {
		plugin := maps.Clone(p.Plugin)
		if plugin == nil {
			plugin = make(map[string]string)
		}
		maps.Copy(plugin, o.plugin)
		p.Plugin = plugin
	}
}

// settleMethod decides how control is proven.
func (o *options) settleMethod(p *lineage.Params) {
	authenticator, installer, _ := o.requested() // check has seen to the error
	if installer != "" {
		p.Installer = installer
	}
	switch {
	case authenticator != "":
		p.Authenticator = authenticator
	case len(o.webroots.byName) > 0 && p.Authenticator == "" && len(o.methods) == 0:
		p.Authenticator = "webroot"
	}
	if len(o.webroots.paths) > 0 {
		p.WebrootPath = o.webroots.paths
		if len(o.domains) == 0 {
			p.WebrootMap = nil // a renewal with another -w: it is for all names
		}
	}
	for _, name := range o.domains {
		path, ok := o.webroots.byName[name]
		if !ok {
			continue
		}
		p.WebrootMap = slices.DeleteFunc(slices.Clone(p.WebrootMap), func(w lineage.Webroot) bool { return w.Name == name })
		p.WebrootMap = append(p.WebrootMap, lineage.Webroot{Name: name, Path: path})
	}
}

// settleKey decides which kind of key the certificate gets. What a lineage has stays unless it was asked to change.
func (o *options) settleKey(s *settings) error {
	p := &s.params
	if o.given["key-type"] || p.KeyType == "" {
		p.KeyType = o.keyType
	}
	if o.given["elliptic-curve"] {
		p.EllipticCurve = o.curve
	}
	if o.given["rsa-key-size"] {
		p.RSAKeySize = o.rsaBits
	}
	var err error
	s.key, err = renew.KeySpec{Type: p.KeyType, Curve: p.EllipticCurve, Bits: p.RSAKeySize}.Complete()
	p.KeyType = s.key.Type
	return err
}

// method is a way to prove control, by certbot's name for it.
type method struct {
	name string
	port int // where the CA must reach it
}

// method names how control is proven, for messages.
func (s *settings) method() method {
	name := s.params.Authenticator
	if len(s.methods) > 0 {
		name = strings.TrimSpace(name + " " + strings.Join(s.methods, " "))
	}
	return method{name, s.port()}
}

// connect makes a client for the account that s names or, if register is set, for
// a new one where there is none.
func (a *app) connect(ctx context.Context, s *settings, register bool) (*acme.Client, error) {
	config, err := a.clientConfig(s)
	if err != nil {
		return nil, err
	}
	return a.account(ctx, s, config, register)
}

// clientConfig says which server to talk to and how; not yet as whom.
func (a *app) clientConfig(s *settings) (acme.ClientConfig, error) {
	trusted := trustFrom(a.options, a.getenv)
	if s.bundle != "" {
		trusted.bundle = s.bundle
	}
	if trusted.anyone {
		a.warnOnce("Warning: the certificate of the CA's server is not checked (--no-verify-ssl). Whoever is on the way to it can pass for it, and see and change what is sent.")
	}
	if u, err := url.Parse(s.params.Server); err == nil && u.Scheme == "http" {
		a.warnOnce(fmt.Sprintf("Warning: the CA %s is spoken to without TLS. Whoever is on the way to it can pass for it, and see and change what is sent.", s.params.Server))
	}
	httpClient, err := trusted.client(a.log)
	return acme.ClientConfig{Directory: s.params.Server, HTTP: httpClient, UserAgent: a.userAgent(s), PlainHTTP: trusted.anyone}, err
}
