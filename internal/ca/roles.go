package ca

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Role is a part of what an authority does. One process can have all of them, or several processes share them.
type Role string

// The roles. DESIGN.md says what each is trusted with.
const (
	RoleFront     Role = "front"     // answers ACME, and serves CRLs and issuers' certificates
	RoleWork      Role = "work"      // validates and issues
	RoleSigner    Role = "signer"    // holds the keys
	RoleValidator Role = "validator" // looks at the network from another place
	RoleCRL       Role = "crl"       // publishes CRLs
	RoleOps       Role = "ops"       // answers the operator's commands
)

// AllRoles lists the roles in the order in which people write them.
func AllRoles() Roles {
	return Roles{RoleFront, RoleWork, RoleSigner, RoleValidator, RoleCRL, RoleOps}
}

// Roles is what one process does; none means all.
type Roles []Role

// ParseRoles reads a list such as "front,work".
func ParseRoles(text string) (roles Roles, err error) {
	for _, word := range strings.Split(text, ",") {
		role := Role(strings.TrimSpace(word))
		switch {
		case !slices.Contains(AllRoles(), role):
			return nil, fmt.Errorf("there is no role %.40q: the roles are %s", word, AllRoles())
		case slices.Contains(roles, role):
			return nil, fmt.Errorf("the role %s is there twice", role)
		}
		roles = append(roles, role)
	}
	return roles, nil
}

// String is what ParseRoles reads.
func (r Roles) String() string {
	words := make([]string, len(r))
	for i, role := range r {
		words[i] = string(role)
	}
	return strings.Join(words, ",")
}

// Has reports whether role is one of r.
func (r Roles) Has(role Role) bool { return len(r) == 0 || slices.Contains(r, role) }

// Check says which roles cannot go together in a process with or without a database that several can share.
func (r Roles) Check(shared bool) error {
	switch {
	case !shared && !r.Has(RoleSigner):
		return errors.New("several processes need a database that they share: set database to the URL of a PostgreSQL database (postgres://…)")
	case !shared && !(r.Has(RoleFront) && r.Has(RoleWork) && r.Has(RoleCRL)):
		return fmt.Errorf("the roles %s alone would wait for the others, and nobody else can use the SQLite database of this data directory: "+
			"leave the roles out, or set database to the URL of a PostgreSQL database (postgres://…)", r)
	case r.Has(RoleOps) && !r.Has(RoleSigner):
		return errors.New("ops belongs to the process with the role signer: its commands need the keys in the data directory there")
	case r.Has(RoleValidator) && !r.Has(RoleWork):
		return errors.New("validator goes with work, whose own perspective it then is, or stands alone, for a perspective elsewhere")
	}
	return nil
}
