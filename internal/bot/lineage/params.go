package lineage

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

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
	UserAgent           string    // user_agent
	ConfigDir           string    // config_dir, where it was given; nothing goes by it, nor by the two below
	WorkDir             string    // work_dir
	LogsDir             string    // logs_dir

	// Plugin has what belongs to a method alone, by its name in the file, such as
	// manual_auth_hook or dns_ovh_credentials. Methods that only certbot knows are in it, too.
	Plugin map[string]string
}

// pluginPrefixes begin the keys of Plugin. What begins with "webroot_" has fields of its own.
var pluginPrefixes = []string{"manual_", "dns_", "standalone_", "nginx_", "apache_"}

// deprecated are keys that certbot wrote once, and drops from files that it reads now.
var deprecated = []string{
	"manual_public_ip_logging_ok", "os_packages_only", "no_self_upgrade", "no_bootstrap", "no_permissions_check", "dns_route53_propagation_seconds",
}

func isPlugin(key string) bool {
	return !slices.Contains(deprecated, key) &&
		slices.ContainsFunc(pluginPrefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// Webroot is where the challenges for one name are put.
type Webroot struct{ Name, Path string }

// pythonNone is what Python writes for nothing.
const pythonNone = "None"

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
			if *field = v.String(); *field == pythonNone {
				*field = ""
			}
			return nil
		},
		func() (Value, bool) { return String(*field), *field != "" }}
}

func intParam(key string, field *int) param {
	return param{key,
		func(v Value) (err error) {
			if v.String() == pythonNone {
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
		stringParam("user_agent", &p.UserAgent), stringParam("config_dir", &p.ConfigDir), stringParam("work_dir", &p.WorkDir),
		stringParam("logs_dir", &p.LogsDir),
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
	p.readPlugin(section)
	if roots := section.Section(webrootSection); roots != nil {
		for _, name := range roots.Keys() {
			path, _ := roots.Get(name)
			p.WebrootMap = append(p.WebrootMap, Webroot{Name: name, Path: path.String()})
		}
	}
	return p, nil
}

// isOldServer reports whether the file still names a server that Params replaces.
func isOldServer(section *Section, key string) bool {
	value, _ := section.Get(key)
	return key == "server" && value.String() == oldServer
}

// readPlugin finds what belongs to methods. "None" is what Python writes for nothing.
func (p *Params) readPlugin(section *Section) {
	for _, key := range section.Keys() {
		value, _ := section.Get(key)
		if !isPlugin(key) || value.String() == pythonNone {
			continue
		}
		if p.Plugin == nil {
			p.Plugin = make(map[string]string)
		}
		p.Plugin[key] = value.String()
	}
}

// setPlugin makes the section say what p has for methods.
func (p *Params) setPlugin(section *Section) error {
	for _, key := range section.Keys() {
		value, _ := section.Get(key)
		if _, ok := p.Plugin[key]; slices.Contains(deprecated, key) || isPlugin(key) && !ok && value.String() != pythonNone {
			section.Delete(key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.Plugin)) {
		if now, ok := section.Get(key); ok && now.String() == p.Plugin[key] {
			continue
		}
		if err := section.Set(key, String(p.Plugin[key])); err != nil {
			return err
		}
	}
	return nil
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
		case err == nil && section.Has(param.key) && set == wasSet && (!set || value.equal(was)) && !isOldServer(section, param.key):
		case !set:
			section.Delete(param.key)
		default:
			if err := section.Set(param.key, value); err != nil {
				return err
			}
		}
	}
	if err := p.setPlugin(section); err != nil {
		return err
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
