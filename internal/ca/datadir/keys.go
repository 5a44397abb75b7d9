package datadir

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
)

// Names of the authority's own HTTPS certificate.
const (
	httpsCertName = "https/cert.pem"
	httpsKeyName  = "https/key.pem"
)

// Pair is a certificate, perhaps with a chain, and its private key, as PEM.
type Pair struct {
	Number      int    // of a root or an issuer, from 1; 0 for HTTPS
	Certificate []byte // one or more certificates
	Key         []byte // nil for a root whose key was taken away
}

// Roots returns the roots, the newest last. A root's key may be missing; see RootKey.
func (d *Dir) Roots() ([]Pair, error) { return d.pairs("roots", "root") }

// Issuers returns the issuers, the newest last. Each has its key.
func (d *Dir) Issuers() ([]Pair, error) {
	list, err := d.pairs("issuers", "issuer")
	for _, pair := range list {
		if pair.Key == nil {
			return nil, fmt.Errorf("%s is %w: the key of issuer %d is missing: put %s back from a backup",
				d.path, ErrIncomplete, pair.Number, d.join(fmt.Sprintf("issuers/%d/issuer.key", pair.Number)))
		}
	}
	return list, err
}

// RootKey returns the key of a root that Roots listed. If it was taken away, the
// error wraps ErrNoRootKey and says which file to put back.
func (d *Dir) RootKey(number int) ([]byte, error) {
	name := fmt.Sprintf("roots/%d/root.key", number)
	key, err := d.read(name)
	if notThere(err) {
		return nil, fmt.Errorf("%w: put it back as %s (mode 0600) for this, and take it away again afterwards if you like",
			ErrNoRootKey, d.join(name))
	}
	return key, err
}

// AddRoot stores a root and its key beside those that are there. It becomes
// the newest, and root.pem a copy of its certificate.
func (d *Dir) AddRoot(certificate, key []byte) (number int, err error) {
	number, err = d.addPair("roots", "root", Pair{Certificate: certificate, Key: key})
	if err != nil {
		return 0, err
	}
	// A crash here leaves the old copy; the next Open repairs it.
	return number, d.copyRoot()
}

// AddIssuer stores an issuer and its key beside those that are there.
func (d *Dir) AddIssuer(certificate, key []byte) (number int, err error) {
	return d.addPair("issuers", "issuer", Pair{Certificate: certificate, Key: key})
}

// HTTPS returns the authority's own HTTPS certificate, and false if there is
// none: on the first run, or after a crash while it was being replaced.
func (d *Dir) HTTPS() (Pair, bool, error) {
	certificate, err := d.read(httpsCertName)
	if notThere(err) {
		return Pair{}, false, nil
	}
	if err != nil {
		return Pair{}, false, err
	}
	key, err := d.read(httpsKeyName)
	if notThere(err) {
		return Pair{}, false, nil
	}
	return Pair{Certificate: certificate, Key: key}, err == nil, err
}

// SetHTTPS stores the authority's own HTTPS certificate in place of the old one.
// A certificate never stands beside another one's key: the old certificate goes
// first and the new one comes last. What a crash between leaves is no
// certificate, and the authority issues itself another.
func (d *Dir) SetHTTPS(certificate, key []byte) error {
	if err := d.mkdir("https"); err != nil {
		return err
	}
	if err := d.remove(httpsCertName); err != nil {
		return err
	}
	if err := d.write(httpsKeyName, key, 0o600); err != nil {
		return err
	}
	return d.write(httpsCertName, certificate, 0o644)
}

// pairs reads parent/N/{base.pem,base.key} for every N, in order.
func (d *Dir) pairs(parent, base string) ([]Pair, error) {
	numbers, err := d.numbers(parent)
	if err != nil {
		return nil, err
	}
	var list []Pair
	for _, number := range numbers {
		name := fmt.Sprintf("%s/%d/%s", parent, number, base)
		certificate, err := d.read(name + ".pem")
		if notThere(err) {
			return nil, fmt.Errorf("%s is %w: %s is missing: put it back from a backup",
				d.path, ErrIncomplete, d.join(name+".pem"))
		}
		if err != nil {
			return nil, err
		}
		key, err := d.read(name + ".key")
		if err != nil && !notThere(err) {
			return nil, err
		}
		list = append(list, Pair{Number: number, Certificate: certificate, Key: key})
	}
	return list, nil
}

// numbers lists the N of parent/N, rising.
func (d *Dir) numbers(parent string) ([]int, error) {
	entries, err := os.ReadDir(d.join(parent))
	if err != nil && !notThere(err) {
		return nil, fmt.Errorf("reading the data directory: %w", err)
	}
	var list []int
	for _, entry := range entries {
		if n, err := strconv.Atoi(entry.Name()); err == nil && n > 0 && strconv.Itoa(n) == entry.Name() {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list, nil
}

// addPair stores a pair as parent/N, N being the next number. Certificate and key appear together.
func (d *Dir) addPair(parent, base string, pair Pair) (int, error) {
	if len(pair.Certificate) == 0 || len(pair.Key) == 0 {
		return 0, errors.New("writing to the data directory: a certificate or its key is empty")
	}
	if err := d.mkdir(parent); err != nil {
		return 0, err
	}
	numbers, err := d.numbers(parent)
	if err != nil {
		return 0, err
	}
	number := 1
	if len(numbers) > 0 {
		number = numbers[len(numbers)-1] + 1
	}
	name := fmt.Sprintf("%s/%d", parent, number)
	temp := name + ".new"
	if err := os.RemoveAll(d.join(temp)); err != nil { // of a call that failed earlier
		return 0, fmt.Errorf("writing to the data directory: %w", err)
	}
	for _, step := range []func() error{
		func() error { return d.mkdir(temp) },
		func() error { return d.writeNew(temp+"/"+base+".key", pair.Key, 0o600) },
		func() error { return d.writeNew(temp+"/"+base+".pem", pair.Certificate, 0o644) },
		func() error { return syncDir(d.join(temp)) },
		func() error { return d.rename(temp, name) },
	} {
		if err := step(); err != nil {
			return 0, err
		}
	}
	return number, nil
}

// copyRoot makes root.pem a copy of the newest root's certificate, if it is not.
func (d *Dir) copyRoot() error {
	roots, err := d.Roots()
	if err != nil || len(roots) == 0 {
		return err
	}
	newest := roots[len(roots)-1].Certificate
	if text, err := d.read(rootName); err == nil && bytes.Equal(text, newest) {
		return nil
	}
	return d.write(rootName, newest, 0o644)
}
