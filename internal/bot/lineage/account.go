package lineage

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
)

// The files of an account.
const (
	accountKeyFile  = "private_key.json" // a JWK (RFC 7517)
	accountURLFile  = "regr.json"        // {"body": {}, "uri": …}
	accountMetaFile = "meta.json"        // {"creation_dt": …, "creation_host": …}
)

// Account is a registration with a CA.
type Account struct {
	// Key is an RSA key, or an ECDSA key on P-256, P-384 or P-521: these certbot can use too.
	Key           crypto.Signer
	URL           string    // of the account (RFC 8555 §7.3)
	Created       time.Time // zero is now
	Host          string    // where it was made; "" is this machine's name
	RegisterToEFF string    // an e-mail address that certbot has yet to tell the EFF about

	// What certbot, or a later version of us, has written beside these.
	urlMembers, metaMembers map[string]json.RawMessage
}

// AccountID is certbot's name for the account with that key: the MD5 of the
// public key as a PEM SubjectPublicKeyInfo, in hexadecimal. It names, and
// protects nothing.
func AccountID(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("naming an account: %w", err)
	}
	sum := md5.Sum(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	return hex.EncodeToString(sum[:]), nil
}

// ID is AccountID of the account's key, or "" for a key that has none.
func (a *Account) ID() string {
	if a.Key == nil {
		return ""
	}
	id, err := AccountID(a.Key.Public())
	if err != nil {
		return ""
	}
	return id
}

// Accounts is accounts/HOST[:PORT]/PATH: the accounts at one CA.
type Accounts struct {
	top, directory, earlier string
	begin                   func() error // called before anything is changed; nil where nobody wants to know
}

// earlierServers are the servers whose accounts Let's Encrypt has taken over:
// where there is none for the new one, certbot uses those.
var earlierServers = map[string]string{
	"acme-v02.api.letsencrypt.org/directory":         "acme-v01.api.letsencrypt.org/directory",
	"acme-staging-v02.api.letsencrypt.org/directory": "acme-staging.api.letsencrypt.org/directory",
}

// Accounts gives the accounts at the CA with that directory URL.
func (d Dirs) Accounts(server string) (*Accounts, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%q is not the URL of a directory", server)
	}
	path := u.Host + u.EscapedPath()
	if u.User != nil {
		path = u.User.String() + "@" + path
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == ".." {
			return nil, fmt.Errorf("%q has a path that leads elsewhere", server)
		}
	}
	top := filepath.Join(d.Config, "accounts")
	a := &Accounts{top: top, directory: filepath.Join(top, path)}
	if earlier, ok := earlierServers[path]; ok {
		a.earlier = filepath.Join(top, earlier)
	}
	return a, nil
}

// Save makes the account durable: it is there after a crash, or it is not, and
// what is there of it otherwise counts for nothing. Saving it again updates
// all but the key.
func (a *Accounts) Save(account *Account) error {
	if err := a.save(account); err != nil {
		return fmt.Errorf("saving an account: %w", err)
	}
	return nil
}

func (a *Accounts) save(account *Account) error {
	key, err := encodeJWK(account.Key)
	if err != nil {
		return err
	}
	if err := a.changes(); err != nil {
		return err
	}
	meta, registration, err := account.encode()
	if err != nil {
		return err
	}
	directory, err := a.makeDir(account.ID())
	if err != nil {
		return err
	}
	// The key is 0400 and the same for ever: an account is found by it.
	if there, err := loadJWK(filepath.Join(directory, accountKeyFile)); err != nil || !sameKey(there, account.Key) {
		if err := atomicfile.Replace(filepath.Join(directory, accountKeyFile), key, 0o400); err != nil {
			return err
		}
	}
	if err := atomicfile.Replace(filepath.Join(directory, accountMetaFile), meta, 0o644); err != nil {
		return err
	}
	// The last of the three: from here on the account counts.
	return atomicfile.Replace(filepath.Join(directory, accountURLFile), registration, 0o644)
}

// changes is called before anything is changed.
func (a *Accounts) changes() error {
	if a.begin == nil {
		return nil
	}
	return a.begin()
}

// makeDir makes the directory of an account. Certbot may have made a part of
// its path a link to the accounts of an earlier server.
func (a *Accounts) makeDir(id string) (string, error) {
	relative, err := filepath.Rel(a.top, filepath.Join(a.directory, id))
	if err != nil {
		return "", err
	}
	at := a.top
	for part := range strings.SplitSeq(relative, string(filepath.Separator)) {
		at = filepath.Join(at, part)
		if err := makeDir(at, 0o700); err != nil {
			return "", err
		}
	}
	return at, nil
}

// encode writes the two files about the account, with what else was in them.
func (a *Account) encode() (meta, registration []byte, err error) {
	if a.Created.IsZero() {
		a.Created = time.Now()
	}
	if a.Host == "" {
		if a.Host, err = os.Hostname(); err != nil {
			return nil, nil, err
		}
	}
	metaMembers := maps.Clone(a.metaMembers)
	if metaMembers == nil {
		metaMembers = make(map[string]json.RawMessage)
	}
	urlMembers := maps.Clone(a.urlMembers)
	if urlMembers == nil {
		urlMembers = map[string]json.RawMessage{"body": json.RawMessage("{}")}
	}
	put(metaMembers, "creation_dt", a.Created.UTC().Format("2006-01-02T15:04:05Z"))
	put(metaMembers, "creation_host", a.Host)
	put(metaMembers, "register_to_eff", a.RegisterToEFF)
	put(urlMembers, "uri", a.URL)
	if meta, err = json.Marshal(metaMembers); err == nil {
		registration, err = json.Marshal(urlMembers)
	}
	return meta, registration, err
}

// put sets a member to a string, or removes it.
func put(members map[string]json.RawMessage, name, value string) {
	if value == "" {
		delete(members, name)
		return
	}
	text, _ := json.Marshal(value) // a string can always be encoded
	members[name] = text
}

// Load reads one account. The error is fs.ErrNotExist if there is none by that ID.
func (a *Accounts) Load(id string) (*Account, error) {
	account, err := loadAccount(a.directory, id)
	if errors.Is(err, fs.ErrNotExist) && a.earlier != "" {
		account, err = loadAccount(a.earlier, id)
	}
	if err != nil {
		return nil, fmt.Errorf("loading account %s: %w", id, err)
	}
	return account, nil
}

// List reads all accounts that are whole, the oldest first. What is not whole
// is passed over, as certbot does.
func (a *Accounts) List() ([]*Account, error) {
	accounts, err := listAccounts(a.directory)
	if err == nil && len(accounts) == 0 && a.earlier != "" {
		accounts, err = listAccounts(a.earlier)
	}
	if err != nil {
		return nil, fmt.Errorf("listing accounts: %w", err)
	}
	return accounts, nil
}

func listAccounts(directory string) ([]*Account, error) {
	entries, err := os.ReadDir(directory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var accounts []*Account
	for _, entry := range entries {
		if account, err := loadAccount(directory, entry.Name()); err == nil {
			accounts = append(accounts, account)
		}
	}
	slices.SortStableFunc(accounts, func(a, b *Account) int { return cmp.Compare(a.Created.Unix(), b.Created.Unix()) })
	return accounts, nil
}

// loadAccount reads the account that a directory is named for.
func loadAccount(directory, id string) (*Account, error) {
	if id == "" || id != filepath.Base(id) || strings.HasPrefix(id, ".") {
		return nil, fmt.Errorf("%q cannot be the ID of an account", id)
	}
	directory = filepath.Join(directory, id)
	account := new(Account)
	var err error
	if account.Key, err = loadJWK(filepath.Join(directory, accountKeyFile)); err != nil {
		return nil, err
	}
	if account.urlMembers, err = loadObject(filepath.Join(directory, accountURLFile)); err != nil {
		return nil, err
	}
	if account.metaMembers, err = loadObject(filepath.Join(directory, accountMetaFile)); err != nil {
		return nil, err
	}
	var created string
	for _, member := range []struct {
		from map[string]json.RawMessage
		name string
		to   *string
	}{
		{account.urlMembers, "uri", &account.URL},
		{account.metaMembers, "creation_dt", &created},
		{account.metaMembers, "creation_host", &account.Host},
		{account.metaMembers, "register_to_eff", &account.RegisterToEFF},
	} {
		if raw, ok := member.from[member.name]; ok && json.Unmarshal(raw, member.to) != nil {
			return nil, fmt.Errorf("%s is not a string", member.name)
		}
	}
	if account.URL == "" {
		return nil, errors.New("the account has no URL")
	}
	if account.Created, err = time.Parse(time.RFC3339, created); err != nil {
		return nil, fmt.Errorf("creation_dt: %w", err)
	}
	return account, nil
}

func loadObject(path string) (map[string]json.RawMessage, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil || members == nil {
		return nil, fmt.Errorf("%s is not a JSON object", path)
	}
	return members, nil
}

func loadJWK(path string) (crypto.Signer, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(text); err != nil {
		return nil, fmt.Errorf("%s is not a private key: %w", path, err)
	}
	signer, ok := key.Key.(crypto.Signer)
	if !ok || !key.Valid() {
		return nil, fmt.Errorf("%s is not a private key", path)
	}
	return signer, nil
}

// encodeJWK writes a private key with all its members: certbot wants those of
// RSA to be complete.
func encodeJWK(key crypto.Signer) ([]byte, error) {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		key.Precompute()
	case *ecdsa.PrivateKey:
		if !slices.Contains([]elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()}, key.Curve) {
			return nil, fmt.Errorf("certbot has no use for an account key on %s", key.Curve.Params().Name)
		}
	default:
		return nil, fmt.Errorf("certbot has no use for an account key of type %T", key)
	}
	return jose.JSONWebKey{Key: key}.MarshalJSON()
}

func sameKey(a, b crypto.Signer) bool {
	public, ok := a.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(b.Public())
}

// Remove deletes an account's files, and the directory of the server's accounts if it was the last. Certbot may have
// made either a link, to the accounts of an earlier server: then link and target go.
func (a *Accounts) Remove(id string) error {
	if _, err := a.Load(id); err != nil {
		return err
	}
	directory := filepath.Join(a.directory, id)
	if !exists(directory) {
		directory = filepath.Join(a.earlier, id)
	}
	target, err := filepath.EvalSymlinks(directory)
	if err == nil {
		err = errors.Join(os.RemoveAll(target), os.RemoveAll(directory))
	}
	if err == nil {
		err = errors.Join(removeLinked(filepath.Dir(directory)), removeLinked(a.directory))
	}
	if err != nil {
		return fmt.Errorf("removing an account: %w", err)
	}
	return nil
}

// removeLinked removes a directory that is empty, and the one that it may be a link to.
func removeLinked(directory string) error {
	target, err := filepath.EvalSymlinks(directory)
	if errors.Is(err, fs.ErrNotExist) {
		return removeFile(directory) // a link to what is gone, or nothing
	}
	if err != nil || !vacant(target) {
		return err
	}
	return errors.Join(os.Remove(target), removeFile(directory))
}
