package datadir

import (
	"encoding/json"
	"fmt"
	"time"
)

// addressesName is the file that Addresses are kept in.
const addressesName = "addresses.json"

// Addresses is where an authority is to be found.
type Addresses struct {
	ACME string `json:"acme"` // https://HOST[:PORT] of the last run
	// Published is where living certificates point to for CRLs and issuers, the present
	// place first. Certificates keep what they were issued with.
	Published []Published `json:"published"`
	// Database is where its database is, without a password; "" for the one in the directory.
	Database string `json:"database,omitempty"`
}

// Published is a place that certificates point to.
type Published struct {
	URL  string    `json:"url"`           // http://HOST:PORT
	Last time.Time `json:"last,omitzero"` // when another took its place; zero for the present one
}

// Addresses returns what SetAddresses stored, or nothing if it was never called.
func (d *Dir) Addresses() (Addresses, error) {
	var a Addresses
	text, err := d.read(addressesName)
	if notThere(err) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("%s is %w: %s cannot be read (%w): put it back from a backup", d.path, ErrIncomplete, d.join(addressesName), err)
	}
	return a, nil
}

// SetAddresses stores where the authority is to be found from now on.
func (d *Dir) SetAddresses(a Addresses) error {
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the addresses: %w", err)
	}
	return d.write(addressesName, append(text, '\n'), 0o644)
}
