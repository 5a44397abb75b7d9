package lineage

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
)

// nextKeyFile is in the directory of an account whose key is being changed: the key that it is to have (RFC 8555 §7.3.5).
// Certbot does not look at it.
const nextKeyFile = ours + "next_key.json"

// SaveNext keeps the key that an account is about to get, beside the one that it has. It is durable when SaveNext
// returns, so the CA may be asked to change it.
func (a *Accounts) SaveNext(id string, key crypto.Signer) error {
	text, err := encodeJWK(key)
	if err != nil {
		return fmt.Errorf("saving the next key of account %s: %w", id, err)
	}
	directory, err := a.find(id)
	if err == nil {
		err = a.changes()
	}
	if err != nil {
		return fmt.Errorf("saving the next key of account %s: %w", id, err)
	}
	if err := atomicfile.Replace(filepath.Join(directory, nextKeyFile), text, 0o400); err != nil {
		return fmt.Errorf("saving the next key of account %s: %w", id, err)
	}
	return nil
}

// Next gives the key that SaveNext has kept, or nil: then nobody has begun to change the account's key. It is not known
// which of the two keys the CA has.
func (a *Accounts) Next(id string) (crypto.Signer, error) {
	directory, err := a.find(id)
	if err != nil {
		return nil, err
	}
	key, err := loadJWK(filepath.Join(directory, nextKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("loading the next key of account %s: %w", id, err)
	}
	return key, nil
}

// DropNext forgets the key that SaveNext has kept: the CA does not have it.
func (a *Accounts) DropNext(id string) error {
	directory, err := a.find(id)
	if err != nil {
		return err
	}
	if err := errors.Join(removeFile(filepath.Join(directory, nextKeyFile)), atomicfile.SyncDir(directory)); err != nil {
		return fmt.Errorf("forgetting the next key of account %s: %w", id, err)
	}
	return nil
}

// find gives the directory of an account that is there.
func (a *Accounts) find(id string) (string, error) {
	if _, err := a.Load(id); err != nil {
		return "", err
	}
	for _, top := range []string{a.directory, a.earlier} {
		if directory := filepath.Join(top, id); top != "" && exists(directory) {
			return directory, nil
		}
	}
	return "", fs.ErrNotExist
}

// WithKey is the same account with another key, which gives it another ID.
func (a *Account) WithKey(key crypto.Signer) *Account {
	other := *a
	other.Key = key
	return &other
}

// ReplaceAccount makes the renewal configurations that name an account of a server name another in its place, the
// one that has its new key. What cannot be read is left as it is, and told of.
func (s *Store) ReplaceAccount(server, old, next string) error {
	names, err := s.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		l, loadErr := s.loadConf(name)
		if loadErr != nil {
			continue // List tells of it
		}
		params, paramsErr := l.Conf.Params()
		if paramsErr != nil || params.Server != server || params.Account != old {
			continue
		}
		params.Account = next
		if setErr := l.Conf.SetParams(params); setErr != nil {
			err = errors.Join(err, setErr)
			continue
		}
		err = errors.Join(err, l.Save())
	}
	if err != nil {
		return fmt.Errorf("naming the account's new key: %w", err)
	}
	return nil
}
