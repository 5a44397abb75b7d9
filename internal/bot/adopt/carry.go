package adopt

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// Outcome is what became of something that was found.
type Outcome string

// The outcomes.
const (
	Imported    Outcome = "imported"
	WouldImport Outcome = "would-import" // nothing was written
	Exists      Outcome = "exists"       // something of that name is there, and stays as it is
	Failed      Outcome = "failed"
)

// Report says what was done. It has no secret in it.
type Report struct {
	Source       Source        `json:"source"`
	Dir          string        `json:"dir"`
	DryRun       bool          `json:"dry_run"`
	Certificates []Certified   `json:"certificates"`
	Accounts     []AccountDone `json:"accounts"`
	Notes        []string      `json:"notes"` // what cannot be carried over, and what to do
}

// Certified is what became of a certificate.
type Certified struct {
	Name          string   `json:"name"`
	Outcome       Outcome  `json:"outcome"`
	From          string   `json:"from"`
	Identifiers   []string `json:"identifiers"`
	Expires       string   `json:"expires"`
	Server        string   `json:"server"`
	Account       string   `json:"account,omitempty"`
	Authenticator string   `json:"authenticator,omitempty"`
	KeyType       string   `json:"key_type"`
	Credentials   string   `json:"credentials,omitempty"` // the file with those of a DNS provider
	Hooks         []string `json:"hooks,omitempty"`       // commands that renewals will run
	Error         string   `json:"error,omitempty"`
	Notes         []string `json:"notes"`
}

// AccountDone is what became of an account.
type AccountDone struct {
	ID      string  `json:"id"`
	Outcome Outcome `json:"outcome"`
	From    string  `json:"from"`
	Server  string  `json:"server"`
	URL     string  `json:"url"`
	Error   string  `json:"error,omitempty"`
}

// Carry makes lineages and accounts of what was found. With dry it writes nothing. The accounts come first: a renewal
// configuration names one. A crash leaves what was carried over until then whole, and the same command goes on.
func Carry(store *lineage.Store, c Config, found *Found, dry bool) Report {
	report := Report{Source: c.Source, Dir: c.Dir, DryRun: dry, Notes: append([]string{}, found.Notes...),
		Certificates: []Certified{}, Accounts: []AccountDone{}}
	for _, a := range found.Accounts {
		report.Accounts = append(report.Accounts, carryAccount(store, a, dry))
	}
	for i := range found.Certificates {
		report.Certificates = append(report.Certificates, carryCertificate(store, &found.Certificates[i], c.Source, dry))
	}
	return report
}

// Failures counts what could not be carried over.
func (r Report) Failures() int {
	count := 0
	for _, c := range r.Certificates {
		if c.Outcome == Failed {
			count++
		}
	}
	for _, a := range r.Accounts {
		if a.Outcome == Failed {
			count++
		}
	}
	return count
}

func carryAccount(store *lineage.Store, a *Account, dry bool) AccountDone {
	made := &lineage.Account{Key: a.Key, URL: a.URL}
	done := AccountDone{ID: made.ID(), From: a.From, Server: a.Server, URL: a.URL, Outcome: Imported}
	accounts, err := store.Accounts(a.Server)
	if err == nil {
		_, err = accounts.Load(made.ID())
		switch {
		case err == nil:
			done.Outcome = Exists
			return done
		case errors.Is(err, fs.ErrNotExist):
			err = nil
		}
	}
	switch {
	case err != nil:
	case dry:
		done.Outcome = WouldImport
	default:
		err = accounts.Save(made)
	}
	if err != nil {
		done.Outcome, done.Error = Failed, err.Error()
	}
	return done
}

func carryCertificate(store *lineage.Store, c *Certificate, source Source, dry bool) Certified {
	done := Certified{Name: c.Name, From: c.From, Outcome: Imported, Server: c.Params.Server, Authenticator: c.Params.Authenticator,
		KeyType: c.Params.KeyType, Notes: append([]string{}, c.Notes...), Identifiers: []string{}}
	for _, command := range []string{c.Params.PreHook, c.Params.PostHook, c.Params.DeployHook} {
		if command != "" {
			done.Hooks = append(done.Hooks, command)
		}
	}
	fail := func(err error) Certified {
		done.Outcome, done.Error = Failed, err.Error()
		return done
	}
	leaf, err := c.Material.Leaf()
	if err != nil {
		return fail(err)
	}
	for _, id := range acme.CertificateIdentifiers(leaf) {
		done.Identifiers = append(done.Identifiers, id.Value)
	}
	done.Expires = leaf.NotAfter.UTC().Format("2006-01-02T15:04:05Z")
	if c.Account != nil {
		done.Account = (&lineage.Account{Key: c.Account.Key}).ID()
		c.Params.Account = done.Account
	}
	if c.DNS != nil {
		done.Credentials = filepath.Join(store.Dirs().Config, "credentials", fmt.Sprintf("%s-%s.ini", c.DNS.Provider, c.Name))
	}
	if taken(store, c.Name) {
		done.Outcome = Exists
		return done
	}
	if dry {
		done.Outcome = WouldImport
		return done
	}
	if c.DNS != nil {
		if err := c.DNS.write(done.Credentials); err != nil {
			return fail(err)
		}
	}
	if err := create(store, c, source, done.Credentials); err != nil {
		return fail(err)
	}
	return done
}

// taken reports whether there is anything of that name: a lineage, a broken one, or files that one would be in the way of.
func taken(store *lineage.Store, name string) bool {
	config := store.Dirs().Config
	for _, path := range []string{
		filepath.Join(config, "renewal", name+".conf"), filepath.Join(config, "archive", name), filepath.Join(config, "live", name),
	} {
		if _, err := os.Lstat(path); err == nil {
			return true
		}
	}
	return false
}

// ownSource is the key of our own section that says where a lineage came from.
const ownSource = "imported_from"

// create makes the lineage. Its configuration names the credentials as certbot's plugins do, from the beginning: after a crash
// in between, the same command would find that the lineage exists, and leave it without.
func create(store *lineage.Store, c *Certificate, source Source, credentials string) error {
	params := c.Params
	if c.DNS != nil {
		params.Plugin = maps.Clone(params.Plugin)
		if params.Plugin == nil {
			params.Plugin = make(map[string]string)
		}
		params.Plugin["dns_"+strings.ReplaceAll(c.DNS.Provider, "-", "_")+"_credentials"] = credentials
	}
	_, err := store.Create(c.Name, c.Material, lineage.Setup{Params: params, Own: map[string]string{ownSource: string(source)}})
	return err
}

// write makes the file with the credentials, 0600 from the beginning.
func (c *Credentials) write(path string) error {
	document, err := lineage.ParseDocument(nil)
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(c.Values)) {
		if err := document.Root().Set(key, lineage.String(c.Values[key])); err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := atomicfile.Replace(path, document.Bytes(), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
