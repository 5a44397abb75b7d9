package store

import (
	"fmt"
	"time"
)

// Member is a host that was taken in as a role.
type Member struct {
	Node    string
	Role    string
	KeyHash []byte // SHA-256 of its SubjectPublicKeyInfo
	Added   time.Time
}

// InsertMember takes a host in. ErrExists: there is one of that name and role.
func (tx *Tx) InsertMember(m Member) error {
	if err := tx.insert(`INSERT INTO members (node, role, key_hash, added) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		m.Node, m.Role, m.KeyHash, millis(m.Added)); err != nil {
		return fmt.Errorf("node %s as %s: %w", m.Node, m.Role, err)
	}
	return nil
}

// Member finds a host that was taken in.
func (tx *Tx) Member(node, role string) (m Member, err error) {
	if err := tx.first(func(r *row) error { m = readMember(r); return nil },
		`SELECT node, role, key_hash, added FROM members WHERE node = $1 AND role = $2`, node, role); err != nil {
		return m, fmt.Errorf("node %s as %s: %w", node, role, err)
	}
	return m, nil
}

// Members lists the hosts that were taken in, by name and role, at most limit.
func (tx *Tx) Members(limit int) (list []Member, err error) {
	err = tx.each(func(r *row) error { list = append(list, readMember(r)); return nil },
		`SELECT node, role, key_hash, added FROM members ORDER BY node, role LIMIT $1`, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("listing members: %w", err)
	}
	return list, nil
}

func readMember(r *row) Member {
	return Member{Node: r.text(), Role: r.text(), KeyHash: r.blob(), Added: r.moment()}
}

// DeleteMember ends the membership of a host in one role. ErrNotFound: it had none.
func (tx *Tx) DeleteMember(node, role string) error {
	if err := tx.one(ErrNotFound, `DELETE FROM members WHERE node = $1 AND role = $2`, node, role); err != nil {
		return fmt.Errorf("node %s as %s: %w", node, role, err)
	}
	return nil
}

// Node is a process that runs, in one of its roles.
type Node struct {
	Node     string
	Role     string
	Address  string // HOST:PORT at which other roles call it; "" if they do not
	KeyHash  []byte // of its certificate as this role
	Instance string // what the nonces begin with that it makes; "" if it makes none
	Seen     time.Time
	Version  string // of its program
}

// NoteNode saves that n runs at tx.Now.
func (tx *Tx) NoteNode(n Node) error {
	_, err := tx.exec(`INSERT INTO nodes (node, role, address, key_hash, instance, seen, version) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (node, role) DO UPDATE SET address = excluded.address, key_hash = excluded.key_hash,
		instance = excluded.instance, seen = excluded.seen, version = excluded.version`,
		n.Node, n.Role, n.Address, n.KeyHash, n.Instance, millis(tx.Now), n.Version)
	if err != nil {
		return fmt.Errorf("noting node %s as %s: %w", n.Node, n.Role, err)
	}
	return nil
}

// Nodes lists the processes that were seen after since, at most limit: those with a role, or with any if that is "".
func (tx *Tx) Nodes(role string, since time.Time, limit int) (list []Node, err error) {
	err = tx.each(func(r *row) error {
		n := Node{
			Node: r.text(), Role: r.text(), Address: r.text(), KeyHash: r.blob(), Instance: r.text(), Seen: r.moment(), Version: r.text(),
		}
		if n.Seen.After(since) && (role == "" || n.Role == role) {
			list = append(list, n)
		}
		return nil
	}, `SELECT node, role, address, key_hash, instance, seen, version FROM nodes ORDER BY node, role LIMIT $1`, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("listing nodes: %w", err)
	}
	return list, nil
}

// DropNode forgets that a process ran. That it is not there is no error.
func (tx *Tx) DropNode(node, role, instance string) error {
	if _, err := tx.exec(`DELETE FROM nodes WHERE node = $1 AND role = $2 AND instance = $3`, node, role, instance); err != nil {
		return fmt.Errorf("dropping node %s as %s: %w", node, role, err)
	}
	return nil
}
