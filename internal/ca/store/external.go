package store

import (
	"fmt"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

const externalKeyColumns = `id, mac, names, uses, used, note, created, expires, revoked`

func readExternalKey(r *row) (k rules.ExternalKey) {
	k.ID, k.MAC = r.text(), r.blob()
	k.Names = readSubtrees(r)
	k.Uses, k.Used, k.Note = int(r.number()), int(r.number()), r.text()
	k.Created, k.Expires, k.Revoked = r.moment(), r.moment(), r.moment()
	return k
}

// readSubtrees reads a list of what Subtrees.Strings gives.
func readSubtrees(r *row) acme.Subtrees {
	var names []string
	r.json(&names)
	if len(names) == 0 {
		return acme.Subtrees{}
	}
	subtrees, err := acme.ParseSubtrees(names)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("column %d: %w", r.next, err)
	}
	return subtrees
}

// InsertExternalKey stores a new key for external account bindings.
func (tx *Tx) InsertExternalKey(k rules.ExternalKey) error {
	if err := tx.insert(`INSERT INTO external_keys (`+externalKeyColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
		k.ID, k.MAC, compactList(k.Names.Strings()), int64(k.Uses), int64(k.Used), k.Note,
		millis(k.Created), millis(k.Expires), millis(k.Revoked)); err != nil {
		return fmt.Errorf("external account key %s: %w", k.ID, err)
	}
	return nil
}

// ExternalKey finds a key for external account bindings by its ID.
func (tx *Tx) ExternalKey(id string) (k rules.ExternalKey, err error) {
	if err := tx.first(func(r *row) error { k = readExternalKey(r); return nil },
		`SELECT `+externalKeyColumns+` FROM external_keys WHERE id = $1`, id); err != nil {
		return rules.ExternalKey{}, fmt.Errorf("external account key %s: %w", id, err)
	}
	return k, nil
}

// afterEveryID is greater than every ID in ASCII.
const afterEveryID = "~"

// ExternalKeys lists at most limit keys for external account bindings, the newest first.
func (tx *Tx) ExternalKeys(limit int) (keys []rules.ExternalKey, err error) {
	err = tx.each(func(r *row) error { keys = append(keys, readExternalKey(r)); return nil },
		`SELECT `+externalKeyColumns+` FROM external_keys WHERE id < $1 ORDER BY id DESC LIMIT $2`, afterEveryID, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("external account keys: %w", err)
	}
	return keys, nil
}

// UpdateExternalKey saves the uses and the end of a key that was before. ErrConflict: it
// has been used or revoked since.
func (tx *Tx) UpdateExternalKey(before, after rules.ExternalKey) error {
	if err := tx.swap(`UPDATE external_keys SET used = $1, revoked = $2 WHERE id = $3 AND used = $4 AND revoked = $5`,
		int64(after.Used), millis(after.Revoked), before.ID, int64(before.Used), millis(before.Revoked)); err != nil {
		return fmt.Errorf("external account key %s: %w", before.ID, err)
	}
	return nil
}
