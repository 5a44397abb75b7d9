package lineage

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// CertbotVersion is the version of certbot whose files these are. A newer one
// than the reader's is not an error to any certbot.
const CertbotVersion = "5.6.0"

// Names in a renewal configuration.
const (
	paramsSection  = "renewalparams"
	webrootSection = "webroot_map"
	ownSection     = "cairnbot"
)

// Conf is a renewal configuration, renewal/NAME.conf. Whatever is in it that
// this package does not know stays as it is.
type Conf struct{ document *Document }

// ParseConf reads a renewal configuration.
func ParseConf(text []byte) (*Conf, error) {
	document, err := ParseDocument(text)
	if err != nil {
		return nil, err
	}
	return &Conf{document: document}, nil
}

// Bytes prints the configuration.
func (c *Conf) Bytes() []byte { return c.document.Bytes() }

// Document is the file behind the configuration, for what has no method here.
func (c *Conf) Document() *Document { return c.document }

// newConf makes the configuration of a lineage.
func newConf(archive, live string, setup Setup) (*Conf, error) {
	c, err := ParseConf(nil)
	if err != nil {
		return nil, err
	}
	pairs := [][2]string{{"version", CertbotVersion}, {"archive_dir", archive}}
	for _, kind := range Kinds() {
		pairs = append(pairs, [2]string{string(kind), filepath.Join(live, string(kind)+".pem")})
	}
	for _, pair := range pairs {
		if err := c.document.Root().Set(pair[0], String(pair[1])); err != nil {
			return nil, err
		}
	}
	if err := c.SetParams(setup.Params); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(setup.Own)) {
		if err := c.SetOwn(key, setup.Own[key]); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Version is the version of certbot, or of one that acts as it, that wrote the file first.
func (c *Conf) Version() string { return c.top("version") }

// RenewBeforeExpiry is the interval as it is written, such as "30 days", or "".
func (c *Conf) RenewBeforeExpiry() string { return c.top("renew_before_expiry") }

func (c *Conf) top(key string) string {
	value, _ := c.document.Root().Get(key)
	return value.String()
}

// Own gives our own value for key, from the section [cairnbot], or "".
func (c *Conf) Own(key string) string {
	value, _ := c.document.Root().Section(ownSection).Get(key)
	return value.String()
}

// SetOwn sets a key of the section [cairnbot]. An empty value removes it.
func (c *Conf) SetOwn(key, value string) error {
	if value == "" {
		if section := c.document.Root().Section(ownSection); section != nil {
			section.Delete(key)
		}
		return nil
	}
	section, err := c.document.Root().Add(ownSection)
	if err != nil {
		return err
	}
	return section.Set(key, String(value))
}

// Params are the options that a renewal repeats, with certbot's names in the
// comments. The zero value of a field leaves its key out.
type Params struct {
	Account             string    // account: the ID
	Server              string    // server: the URL of the directory
	Authenticator       string    // authenticator: standalone, webroot, …
	Installer           string    // installer
	KeyType             string    // key_type: ecdsa or rsa; where it is missing in a file, rsa
	EllipticCurve       string    // elliptic_curve
	RSAKeySize          int       // rsa_key_size: in bits
	HTTP01Port          int       // http01_port
	HTTP01Address       string    // http01_address
	PreferredChallenges []string  // pref_challs: such as http-01
	PreferredChain      string    // preferred_chain
	PreferredProfile    string    // preferred_profile
	RequiredProfile     string    // required_profile
	WebrootPath         []string  // webroot_path
	WebrootMap          []Webroot // [[webroot_map]]
	PreHook             string    // pre_hook
	PostHook            string    // post_hook
	DeployHook          string    // renew_hook: certbot's first name for it
	ReuseKey            bool      // reuse_key
	MustStaple          bool      // must_staple
	AllowSubsetOfNames  bool      // allow_subset_of_names
	NoAutoRenew         bool      // autorenew = False
}

// Webroot is where the challenges for one name are put.
type Webroot struct{ Name, Path string }

// param ties a key to a field: get reads it from a file's value, and want is
// what the file should say, "" or nothing for no key at all.
type param struct {
	key  string
	get  func(Value) error
	want func() (value Value, set bool)
}

func stringParam(key string, field *string) param {
	return param{key,
		func(v Value) error {
			if *field = v.String(); *field == "None" { // what Python writes for nothing
				*field = ""
			}
			return nil
		},
		func() (Value, bool) { return String(*field), *field != "" }}
}

func intParam(key string, field *int) param {
	return param{key,
		func(v Value) (err error) {
			if v.String() == "None" {
				return nil
			}
			if *field, err = strconv.Atoi(v.String()); err != nil || *field < 0 {
				return fmt.Errorf("%s = %q is not a number", key, v)
			}
			return nil
		},
		func() (Value, bool) { return String(strconv.Itoa(*field)), *field != 0 }}
}

func listParam(key string, field *[]string) param {
	return param{key,
		func(v Value) error { *field = v.Items(); return nil },
		func() (Value, bool) { return List(*field...), len(*field) > 0 }}
}

// boolParam is for an option that is off unless the file says what means on.
func boolParam(key string, field *bool, on bool) param {
	return param{key,
		func(v Value) error {
			switch strings.ToLower(v.String()) {
			case "true":
				*field = on
			case "false":
				*field = !on
			default:
				return fmt.Errorf("%s = %q is neither True nor False", key, v)
			}
			return nil
		},
		func() (Value, bool) {
			if on {
				return String("True"), *field
			}
			return String("False"), *field
		}}
}

// params lists what stands directly in [renewalparams], in the order in which it is written.
func (p *Params) params() []param {
	return []param{
		stringParam("account", &p.Account), stringParam("server", &p.Server),
		stringParam("authenticator", &p.Authenticator), stringParam("installer", &p.Installer),
		stringParam("key_type", &p.KeyType), stringParam("elliptic_curve", &p.EllipticCurve), intParam("rsa_key_size", &p.RSAKeySize),
		intParam("http01_port", &p.HTTP01Port), stringParam("http01_address", &p.HTTP01Address),
		listParam("pref_challs", &p.PreferredChallenges), stringParam("preferred_chain", &p.PreferredChain),
		stringParam("preferred_profile", &p.PreferredProfile), stringParam("required_profile", &p.RequiredProfile),
		listParam("webroot_path", &p.WebrootPath),
		stringParam("pre_hook", &p.PreHook), stringParam("post_hook", &p.PostHook), stringParam("renew_hook", &p.DeployHook),
		boolParam("reuse_key", &p.ReuseKey, true), boolParam("must_staple", &p.MustStaple, true),
		boolParam("allow_subset_of_names", &p.AllowSubsetOfNames, true), boolParam("autorenew", &p.NoAutoRenew, false),
	}
}

// The directory of Let's Encrypt's first protocol, which old configurations
// name, and the one that certbot uses in its place.
const (
	oldServer = "https://acme-v01.api.letsencrypt.org/directory"
	newServer = "https://acme-v02.api.letsencrypt.org/directory"
)

// Params reads [renewalparams]. The error names the option that is malformed.
func (c *Conf) Params() (Params, error) {
	var p Params
	section := c.document.Root().Section(paramsSection)
	if section == nil {
		return p, fmt.Errorf("there is no section [%s]", paramsSection)
	}
	for _, param := range p.params() {
		value, ok := section.Get(param.key)
		if !ok {
			continue
		}
		if err := param.get(value); err != nil {
			return p, err
		}
	}
	if p.KeyType == "" {
		p.KeyType = "rsa" // certbot before 1.25 wrote nothing for its default of then
	}
	if p.Server == oldServer {
		p.Server = newServer
	}
	if roots := section.Section(webrootSection); roots != nil {
		for _, name := range roots.Keys() {
			path, _ := roots.Get(name)
			p.WebrootMap = append(p.WebrootMap, Webroot{Name: name, Path: path.String()})
		}
	}
	return p, nil
}

// SetParams makes the file say p. Lines that say it already stay as they are
// written, as does what Params does not know.
func (c *Conf) SetParams(p Params) error {
	section, err := c.document.Root().Add(paramsSection)
	if err != nil {
		return err
	}
	before, err := c.Params()
	if err != nil {
		before = Params{} // what is malformed is written anew
	}
	old := before.params()
	for i, param := range p.params() {
		value, set := param.want()
		was, wasSet := old[i].want()
		switch {
		case err == nil && section.Has(param.key) && set == wasSet && (!set || value.equal(was)):
		case !set:
			section.Delete(param.key)
		default:
			if err := section.Set(param.key, value); err != nil {
				return err
			}
		}
	}
	return c.setWebrootMap(section, p.WebrootMap)
}

func (c *Conf) setWebrootMap(section *Section, roots []Webroot) error {
	if len(roots) == 0 {
		if sub := section.Section(webrootSection); sub != nil && len(sub.Keys()) > 0 {
			section.Remove(webrootSection)
		}
		return nil
	}
	sub, err := section.Add(webrootSection)
	if err != nil {
		return err
	}
	for _, name := range sub.Keys() {
		if !slices.ContainsFunc(roots, func(w Webroot) bool { return w.Name == name }) {
			sub.Delete(name)
		}
	}
	for _, root := range roots {
		if now, ok := sub.Get(root.Name); ok && now.String() == root.Path {
			continue
		}
		if err := sub.Set(root.Name, String(root.Path)); err != nil {
			return err
		}
	}
	return nil
}
