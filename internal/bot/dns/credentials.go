package dns

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// Credentials reads what providers are made with. What it reads is in none of its errors and warnings.
type Credentials struct {
	// Lookup reads the environment; nil finds nothing.
	Lookup func(name string) (string, bool)
	// Home is what "~" stands for; "" leaves it as it is.
	Home string
	// Directory has the credentials that systemd hands over ($CREDENTIALS_DIRECTORY); "" has none.
	Directory string
	// Strict refuses files that others can read.
	Strict bool
	// Warn is told of what should not be so, with what to do about it. nil tells nobody.
	Warn func(text string)
}

// maxCredential bounds one file of credentials.
const maxCredential = 1 << 20

// UnsafeError says that others can read a file with secrets.
type UnsafeError struct{ Path string }

func (e *UnsafeError) Error() string {
	return "Unsafe permissions on credentials configuration file: " + e.Path // as certbot says it
}

// Remedy is the command that makes it safe.
func (e *UnsafeError) Remedy() string {
	return "chmod 600 '" + strings.ReplaceAll(e.Path, "'", `'\''`) + "'"
}

// phrase is an error in certbot's spelling, because people and scripts look for it.
type phrase string

func (p phrase) Error() string { return string(p) }

// read reads a file with secrets, and looks whether others can.
func (c *Credentials) read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		unsafe := &UnsafeError{Path: path}
		if c.Strict {
			return nil, unsafe
		}
		c.warn("%s (to keep others from reading it: %s)", unsafe, unsafe.Remedy())
	}
	text, err := io.ReadAll(io.LimitReader(file, maxCredential+1))
	if err == nil && len(text) > maxCredential {
		err = fmt.Errorf("%s has more than %d bytes", path, maxCredential)
	}
	return text, err
}

func (c *Credentials) warn(format string, args ...any) {
	if c.Warn != nil {
		c.Warn(fmt.Sprintf(format, args...))
	}
}

// Expand puts the home directory in place of a leading "~".
func (c *Credentials) Expand(path string) string {
	if rest, ok := strings.CutPrefix(path, "~"); ok && c.Home != "" && (rest == "" || rest[0] == '/') {
		return c.Home + rest
	}
	return path
}

// document reads a file in certbot's format.
func (c *Credentials) document(path string) (*lineage.Document, error) {
	text, err := c.read(path)
	if err != nil {
		return nil, fmt.Errorf("reading the credentials: %w", err)
	}
	document, err := lineage.ParseDocument(text)
	if err != nil {
		return nil, fmt.Errorf("Error parsing credentials configuration file %s: %w", path, err) // as certbot says it
	}
	return document, nil
}

// File reads the settings of a provider from a credential file of certbot's plugins. Keys are
// dns_PROVIDER_KEY, with any name of the provider's, the names of environment variables, or what other people's
// plugins have. One file can have those of several providers.
func (c *Credentials) File(e Entry, path string) (map[string]string, error) {
	path = c.Expand(path)
	document, err := c.document(path)
	if err != nil {
		return nil, err
	}
	values, err := c.take(e, document.Root(), taken{source: path})
	if err != nil {
		return nil, err
	}
	if err := c.files(e, values); err != nil {
		return nil, err
	}
	return values, e.missing(values, path)
}

// files looks at the files with secrets that settings name, which the provider reads itself.
func (c *Credentials) files(e Entry, values map[string]string) error {
	for _, key := range e.Keys {
		if !key.File || values[key.Name] == "" {
			continue
		}
		values[key.Name] = c.Expand(values[key.Name])
		if _, err := c.read(values[key.Name]); err != nil {
			return fmt.Errorf("reading the file that %s names: %w", key.Name, err)
		}
	}
	return nil
}

// taken says how a section is read.
type taken struct {
	source string // where it is, for messages
	short  bool   // keys need no prefix, and values may say where they are
}

// take reads a section.
func (c *Credentials) take(e Entry, section *lineage.Section, how taken) (map[string]string, error) {
	values := make(map[string]string)
	for _, key := range section.Keys() {
		known, ok := e.key(key, how.short)
		if !ok {
			if e.mine(key) {
				c.warn("%s: %s has no setting %s", how.source, e.Title, key)
			}
			continue
		}
		value, err := c.value(section, key, how)
		if err != nil {
			return nil, err
		}
		values[known] = value
	}
	for _, key := range e.Keys {
		if _, ok := values[key.Name]; ok || len(key.Parts) == 0 {
			continue
		}
		var parts []string
		for _, part := range key.Parts {
			if section.Has(part) {
				value, err := c.value(section, part, how)
				if err != nil {
					return nil, err
				}
				parts = append(parts, value)
			}
		}
		if len(parts) == len(key.Parts) {
			values[key.Name] = strings.Join(parts, ".")
		}
	}
	return values, nil
}

// value reads one setting.
func (c *Credentials) value(section *lineage.Section, key string, how taken) (string, error) {
	value, _ := section.Get(key)
	if value.IsList() {
		return "", fmt.Errorf("%s: the value of %s has a comma, at which it is cut into a list: put it into quotes", how.source, key)
	}
	text := value.String()
	if !how.short {
		return text, nil
	}
	text, err := c.follow(text)
	if err != nil {
		return "", fmt.Errorf("%s: reading %s: %w", how.source, key, err)
	}
	return text, nil
}

// isCredentialName reports whether systemd may call a credential so (systemd.exec(5), LoadCredential=): what is the name of one file.
func isCredentialName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !('A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("_@:.-", c) >= 0) {
			return false
		}
	}
	return name != "" && len(name) <= 255 && name != "." && name != ".."
}

// follow reads a value that is elsewhere: file:PATH or cred:NAME.
func (c *Credentials) follow(text string) (string, error) {
	path, ok := strings.CutPrefix(text, "file:")
	if ok {
		path = c.Expand(path)
		if !filepath.IsAbs(path) {
			return "", fmt.Errorf("%s is no absolute path", path)
		}
	} else if name, isCredential := strings.CutPrefix(text, "cred:"); isCredential {
		switch {
		case c.Directory == "":
			return "", fmt.Errorf("systemd has handed over no credentials: %s needs LoadCredential=%s:… in the service", text, name)
		case !isCredentialName(name):
			return "", fmt.Errorf("%.64q is no name of a credential", name)
		}
		path = filepath.Join(c.Directory, name)
	} else {
		return text, nil
	}
	content, err := c.read(path)
	return strings.TrimRight(string(content), "\r\n"), err
}

// prefixes are what keys of the provider begin with in credential files.
func (e Entry) prefixes() []string {
	var list []string
	for _, name := range append([]string{e.Name}, e.Aliases...) {
		list = append(list, "dns_"+strings.ReplaceAll(name, "-", "_")+"_")
	}
	return list
}

// isVariable reports whether a name can be that of a variable.
func isVariable(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !('A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '_' || i > 0 && '0' <= c && c <= '9') {
			return false
		}
	}
	return name != ""
}

// key finds the setting that a key of a file means.
func (e Entry) key(name string, short bool) (string, bool) {
	whole := name
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		name = name[i+1:] // certbot's old files name the package first
	}
	for _, k := range e.Keys {
		if number, ok := k.number(name, e.prefixes(), short); ok {
			return k.Name + number, true
		}
		if k.Variable != "" && name == k.Variable || slices.Contains(k.Also, whole) || slices.Contains(k.Also, name) || short && name == k.Name {
			return k.Name, true
		}
		for _, prefix := range e.prefixes() {
			if name == prefix+k.Name {
				return k.Name, true
			}
		}
	}
	return name, e.Free && name == whole && isVariable(name) && name != providerKey && name != propagationKey
}

// number is what stands behind the name of a setting that there can be several of.
func (k Key) number(name string, prefixes []string, short bool) (string, bool) {
	if !k.Many {
		return "", false
	}
	if short {
		prefixes = append([]string{""}, prefixes...)
	}
	for _, prefix := range prefixes {
		if number, ok := strings.CutPrefix(name, prefix+k.Name); ok && number != "" && len(number) < 5 && strings.Trim(number, "0123456789") == "" {
			return number, true
		}
	}
	return "", false
}

// mine reports whether a key was meant for the provider, though it has no such setting.
func (e Entry) mine(name string) bool {
	for _, k := range e.Keys {
		if slices.Contains(k.Parts, name) {
			return false
		}
	}
	if name == "dns_multi_provider" {
		return false
	}
	return slices.ContainsFunc(e.prefixes(), func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// missing says what a file lacks, in the form that users of certbot know.
func (e Entry) missing(values map[string]string, path string) error {
	var list []string
	for _, k := range e.Keys {
		value, there := values[k.Name]
		if !k.Needed || value != "" {
			continue
		}
		what := "not found"
		if there {
			what = "not set"
		}
		help := k.Help
		if help == "" {
			help = k.Variable + " of " + e.Docs
		}
		list = append(list, fmt.Sprintf("\n * Property %q %s (should be %s).", e.prefixes()[0]+k.Name, what, help))
	}
	if len(list) == 0 {
		return nil
	}
	noun := "property"
	if len(list) > 1 {
		noun = "properties"
	}
	return phrase(fmt.Sprintf("Missing %s in credentials configuration file %s:%s", noun, path, strings.Join(list, "")))
}

// FromEnvironment reads the settings of a provider from the variables that lego's users have them in. A
// variable with _FILE behind its name names a file.
func (c *Credentials) FromEnvironment(e Entry) (map[string]string, error) {
	values := make(map[string]string)
	if c.Lookup == nil {
		return values, nil
	}
	for _, key := range e.Keys {
		if key.Variable == "" {
			continue
		}
		if value, ok := c.Lookup(key.Variable); ok && value != "" {
			values[key.Name] = value
			continue
		}
		path, ok := c.Lookup(key.Variable + "_FILE")
		if !ok || path == "" || slices.ContainsFunc(e.Keys, func(k Key) bool { return k.Variable == key.Variable+"_FILE" }) {
			continue
		}
		content, err := c.read(path)
		if err != nil {
			return nil, fmt.Errorf("reading the file that %s_FILE names: %w", key.Variable, err)
		}
		values[key.Name] = strings.TrimRight(string(content), "\r\n")
	}
	return values, c.files(e, values)
}

// Multi reads which provider a file of the plugin dns-multi is for.
func (c *Credentials) Multi(path string) (string, error) {
	path = c.Expand(path)
	document, err := c.document(path)
	if err != nil {
		return "", err
	}
	value, _ := document.Root().Get("dns_multi_provider")
	if value.String() == "" {
		return "", phrase(fmt.Sprintf("Missing property in credentials configuration file %s:\n * Property %q not found (should be the name of a DNS provider).",
			path, "dns_multi_provider"))
	}
	return value.String(), nil
}

// ErrNoProfile says that no profile is for a name.
var ErrNoProfile = errors.New("no profile is for it")
