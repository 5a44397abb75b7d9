package main

// managing is what the options of tableManage set.
type managing struct {
	newName         string
	leaveLink       bool
	addNames        []string
	removeNames     []string
	checkRevocation bool
	newKeys         bool // the verb is one that makes keys as its own command line says, and no renewal
}

// tableManage has what our own verbs know.
func tableManage() []option {
	return []option{
		{Name: "new-name", Arg: "NAME", Own: true, Topics: []string{"rename"},
			Help:   "how the certificate is to be called",
			Target: func(o *options) any { return &o.newName }},
		{Name: "leave-link", Own: true, Topics: []string{"rename"},
			Help:   "let the old name below live/ lead to the new one, for servers whose settings still name it",
			Target: func(o *options) any { return &o.leaveLink }},
		{Name: "add-domain", Arg: "NAME", List: true, Own: true, Topics: []string{"edit"},
			Help:   "a name that the certificate is to have in addition; may be repeated",
			Target: func(o *options) any { return &nameList{o, &o.addNames, true} }},
		{Name: "remove-domain", Arg: "NAME", List: true, Own: true, Topics: []string{"edit"},
			Help:   "a name that the certificate is to have no more; may be repeated",
			Target: func(o *options) any { return &nameList{o, &o.removeNames, false} }},
		{Name: "check-revocation", Own: true, Topics: []string{"certificates"},
			Help:   "ask the CAs which of the certificates they have revoked: their OCSP servers, and otherwise their lists (CRLs)",
			Target: func(o *options) any { return &o.checkRevocation }},
	}
}
