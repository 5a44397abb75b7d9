// Package lineage is certbot's world on disk, /etc/letsencrypt: accounts, the
// archive of certificates, the live links to their current versions, renewal
// configurations and the locks that keep two clients apart.
//
// This file is the outline that the package is being built to; it goes away as
// the real files come in.
package lineage

import (
	"crypto/x509"
	"errors"
)

var errOutline = errors.New("lineage: not built yet")

// Open prepares the directories (modes as certbot's), takes certbot's three
// locks (ErrLocked at once if it cannot), and finishes or takes back what a
// crash left half done. Close releases the locks.
func Open(dirs Dirs) (*Store, error) { return nil, errOutline }

// Store is the tree of one configuration directory, locked.
type Store struct{}

// Close releases the locks and removes their files.
func (s *Store) Close() error { return errOutline }

// Dirs are the store's directories as absolute paths.
func (s *Store) Dirs() Dirs { return Dirs{} }

// Accounts gives the accounts at one CA, by the URL of its directory.
func (s *Store) Accounts(server string) (*Accounts, error) { return nil, errOutline }

// Material is one version of a certificate, in PEM.
type Material struct{ Key, Cert, Chain, Fullchain []byte }

// NewMaterial splits fullchain (leaf first) and checks that the key belongs to the leaf.
func NewMaterial(key, fullchain []byte) (Material, error) { return Material{}, errOutline }

// Leaf parses the certificate.
func (m Material) Leaf() (*x509.Certificate, error) { return nil, errOutline }

// Create lays down a new lineage under name, or NAME-0001 and so on where that is taken.
func (s *Store) Create(name string, m Material, p Params) (*Lineage, error) { return nil, errOutline }

// Load reads one lineage; the error is fs.ErrNotExist if there is no renewal/NAME.conf,
// and otherwise says what is broken.
func (s *Store) Load(name string) (*Lineage, error) { return nil, errOutline }

// List reads all lineages in the order of their names, and says which are broken.
func (s *Store) List() ([]*Lineage, []Broken, error) { return nil, nil, errOutline }

// Broken is a renewal configuration that cannot be used.
type Broken struct {
	Path string // of the .conf
	Err  error
}

// Find gives the lineage to which a certificate file belongs: cert.pem or
// fullchain.pem in live, or any version of them in the archive. fs.ErrNotExist if none.
func (s *Store) Find(certPath string) (*Lineage, error) { return nil, errOutline }

// ErrShared says that two lineages keep their versions in one archive directory.
var ErrShared = errors.New("another certificate shares its archive directory")

// Delete removes all of a lineage, as "certbot delete" does; ErrShared if that would harm another.
func (s *Store) Delete(name string) error { return errOutline }

// Kind is one of the four files of a lineage.
type Kind string

// The kinds, as in cert.pem and cert3.pem.
const (
	Cert      Kind = "cert"
	Key       Kind = "privkey"
	Chain     Kind = "chain"
	Fullchain Kind = "fullchain"
)

// Lineage is a certificate through all its renewals.
type Lineage struct {
	Name string
	Conf *Conf // change it, then Save
}

// ConfPath is renewal/NAME.conf.
func (l *Lineage) ConfPath() string { return "" }

// Path is where servers find the current file of a kind: live/NAME/KIND.pem.
func (l *Lineage) Path(kind Kind) string { return "" }

// Version is the live version, or 0 if the four links disagree.
func (l *Lineage) Version() int { return 0 }

// Versions lists the complete versions, rising.
func (l *Lineage) Versions() ([]int, error) { return nil, errOutline }

// Material reads a version, such as l.Version(), and checks it.
func (l *Lineage) Material(version int) (Material, error) { return Material{}, errOutline }

// AddVersion writes m to the archive, durably and in whole; it is not live yet.
// After a crash, adding the same material again gives the same version.
func (l *Lineage) AddVersion(m Material) (version int, err error) { return 0, errOutline }

// Deploy makes a version live, all four files at once.
func (l *Lineage) Deploy(version int) error { return errOutline }

// Prune deletes versions older than the live one but for the last five.
// A failure is worth a warning, no more.
func (l *Lineage) Prune() error { return errOutline }

// Save writes the configuration back, whole, with comments, order and unknown keys kept.
func (l *Lineage) Save() error { return errOutline }

// Conf is a renewal configuration.
type Conf struct{}

// Params gives the options of [renewalparams]; an error names the one that is malformed.
func (c *Conf) Params() (Params, error) { return Params{}, errOutline }

// SetParams writes p's options; keys that Params does not know stay as they are.
func (c *Conf) SetParams(p Params) error { return errOutline }

// RenewBeforeExpiry is the interval as written, such as "30 days", or "".
func (c *Conf) RenewBeforeExpiry() string { return "" }

// Own gives the value of our own key in section [cairnbot], or "".
func (c *Conf) Own(key string) string { return "" }

// SetOwn sets a key of [cairnbot]; an empty value removes it.
func (c *Conf) SetOwn(key, value string) error { return errOutline }

// Params are the options that a renewal repeats (certbot's names in the comments).
// A zero value leaves the key out, but for AutoRenew.
type Params struct {
	Account            string    // account
	Server             string    // server: the URL of the directory; always written
	Authenticator      string    // authenticator: standalone, webroot, …
	Installer          string    // installer
	KeyType            string    // key_type: ecdsa or rsa; always written, and rsa where it is missing
	EllipticCurve      string    // elliptic_curve
	RSAKeySize         int       // rsa_key_size
	HTTP01Port         int       // http01_port
	HTTP01Address      string    // http01_address
	PreferredChallenge []string  // pref_challs
	PreferredChain     string    // preferred_chain
	PreferredProfile   string    // preferred_profile
	RequiredProfile    string    // required_profile
	WebrootPath        []string  // webroot_path
	WebrootMap         []Webroot // [[webroot_map]]
	PreHook            string    // pre_hook
	PostHook           string    // post_hook
	DeployHook         string    // renew_hook
	ReuseKey           bool      // reuse_key
	MustStaple         bool      // must_staple
	AllowSubset        bool      // allow_subset_of_names
	NoAutoRenew        bool      // autorenew = False
}

// Webroot is where the challenge for one name is put.
type Webroot struct{ Name, Path string }
