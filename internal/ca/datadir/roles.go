package datadir

import "fmt"

// Roles returns the CA for roles, and false if there is none yet. It is safe for
// concurrent use, beside all other methods.
func (d *Dir) Roles() (Pair, bool, error) {
	d.roles.Lock()
	defer d.roles.Unlock()
	return d.newestRoles()
}

func (d *Dir) newestRoles() (Pair, bool, error) {
	list, err := d.pairs("roles", "ca")
	if err != nil || len(list) == 0 {
		return Pair{}, false, err
	}
	newest := list[len(list)-1]
	if newest.Key == nil {
		return Pair{}, false, fmt.Errorf("%s is %w: the key of the CA for roles is missing: put %s back from a backup",
			d.path, ErrIncomplete, d.join(fmt.Sprintf("roles/%d/ca.key", newest.Number)))
	}
	return newest, true, nil
}

// AddRoles returns the CA for roles. If there is none it stores what create makes:
// a certificate and a key, which appear together. Like Roles, it is safe for concurrent use.
func (d *Dir) AddRoles(create func() (certificate, key []byte, err error)) (Pair, error) {
	d.roles.Lock()
	defer d.roles.Unlock()
	pair, found, err := d.newestRoles()
	if found || err != nil {
		return pair, err
	}
	if pair.Certificate, pair.Key, err = create(); err != nil {
		return Pair{}, err
	}
	pair.Number, err = d.addPair("roles", "ca", pair)
	return pair, err
}
