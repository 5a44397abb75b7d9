package main

// managing is what the options of tableManage set.
type managing struct {
	newName         string
	leaveLink       bool
	addNames        []string
	removeNames     []string
	checkRevocation bool
	pkcs12          string
	pkcs12Password  string
	combined        string
	keyMode         string
	keyGroup        string
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
		{Name: "pkcs12", Arg: "FILE", Own: true, Topics: []string{"export", "certonly", "reconfigure"},
			Help:   "write certificate, chain and key to this PKCS#12 file, now and after each renewal; \"none\" ends that",
			Target: func(o *options) any { return &o.pkcs12 }},
		{Name: "pkcs12-password-file", Arg: "FILE", Own: true, Topics: []string{"export", "certonly", "reconfigure"},
			Help:   "its password is the first line of this file",
			Target: func(o *options) any { return &o.pkcs12Password }},
		{Name: "combined", Arg: "FILE", Own: true, Topics: []string{"export", "certonly", "reconfigure"},
			Help:   "the same in PEM: the key, the certificate and its chain, as HAProxy and Postfix take it",
			Target: func(o *options) any { return &o.combined }},
		{Name: "key-group", Arg: "GROUP", Own: true, Topics: []string{"export", "certonly", "reconfigure"},
			Help:   "the group that private keys, and the files above, belong to: with --key-mode 0640 its members can read them",
			Target: func(o *options) any { return &o.keyGroup }},
		{Name: "key-mode", Arg: "MODE", Own: true, Topics: []string{"export", "certonly", "reconfigure"},
			Help: "0600, 0640 or 0644; live/ and archive/ then let others through to what they know", Default: "0600, or as the last key is",
			Target: func(o *options) any { return &o.keyMode }},
		{Name: "check-revocation", Own: true, Topics: []string{"certificates"},
			Help:   "ask the CAs which of the certificates they have revoked: their OCSP servers, and otherwise their lists (CRLs)",
			Target: func(o *options) any { return &o.checkRevocation }},
	}
}
