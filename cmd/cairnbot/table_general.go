package main

// tableGeneral has what concerns every verb.
func tableGeneral() []option {
	return []option{
		{Name: "help", Short: "h", Topics: []string{topicGeneral},
			Help:   "show help, or help about a TOPIC: a verb, a method, \"all\", or one of the topics that --help lists",
			Target: func(*options) any { return new(bool) }},
		{Name: "version", Topics: []string{topicGeneral, topicAutomation},
			Help:   "show the version",
			Target: func(o *options) any { return &o.version }},
		{Name: "config", Short: "c", Arg: "FILE", Topics: []string{topicGeneral},
			Help:   "read defaults of options from this file, too; it wins over " + defaultConfigFile + " and ~/.config/letsencrypt/cli.ini",
			Target: func(o *options) any { return &o.configFile }},
		{Name: "verbose", Short: "v", Topics: []string{topicGeneral, topicTesting},
			Help:   "say more: what is being done; twice, what is sent and received as well",
			Target: func(o *options) any { return &count{&o.verbose} }},
		{Name: "verbose-level", Arg: "N", Hidden: true,
			Target: func(o *options) any { return &o.verbose }, Dest: "verbose"},
		{Name: "text", Short: "t", Topics: []string{topicGeneral},
			Help:   "ask with plain questions, line by line, as slow terminals and screen readers like it",
			Target: func(o *options) any { return &o.text }},
		{Name: "quiet", Short: "q", Topics: []string{topicAutomation, topicGeneral},
			Help:   "say nothing but errors, and ask nothing",
			Target: func(o *options) any { return &o.quiet }},
		{Name: "max-log-backups", Arg: "N", Topics: []string{topicGeneral},
			Help: "how many older logs are kept; 0 appends to one file, for who rotates it otherwise", Default: "1000",
			Target: func(o *options) any { return &o.maxLogBackups }},
		{Name: "non-interactive", Aliases: []string{"noninteractive"}, Short: "n", Topics: []string{topicGeneral, topicAutomation},
			Help:   "ask nothing: take defaults, and name the option that is missing where there is no default",
			Target: func(o *options) any { return &o.nonInteractive }},
		{Name: "force-interactive", Topics: []string{topicGeneral, topicAutomation},
			Help:   "ask even where this does not look like a terminal; not with renew",
			Target: func(o *options) any { return &o.forceInteractive }},
		{Name: "json", Own: true, Topics: []string{topicGeneral, topicAutomation},
			Help:   "print the outcome as one JSON document, and nothing else, on standard output; implies -n",
			Target: func(o *options) any { return &o.json }},
		{Name: "preconfigured-renewal", Hidden: true,
			Target: func(o *options) any { return &o.preconfiguredRenewal }},
		{Name: "user-agent", Arg: "TEXT", Topics: []string{topicGeneral, topicTesting},
			Help:   "what to call ourselves to the CA, instead of program, system and verb; \"\" says nothing",
			Target: func(o *options) any { return &o.userAgent }},
		{Name: "user-agent-comment", Arg: "TEXT", Topics: []string{topicGeneral, topicTesting},
			Help:   "add this to it, such as the name of the script around us",
			Target: func(o *options) any { return &o.userAgentComment }},
	}
}

// tableNames has what a certificate is for.
func tableNames() []option {
	return []option{
		{Name: "domains", Aliases: []string{"domain"}, Short: "d", Arg: "NAME", List: true,
			Topics: []string{topicGeneral, "run", "certonly", topicManage, "certificates", "doctor"},
			Help:   "a name, or several separated by commas; may be repeated. The first one names the certificate's files.",
			Target: func(o *options) any { return &domainList{o} }},
		{Name: "ip-address", Arg: "ADDRESS", List: true, Dest: "domains",
			Topics: []string{topicGeneral, "run", "certonly", topicManage, "certificates"},
			Help:   "the same for an address; -d takes addresses, too",
			Target: func(o *options) any { return &domainList{o} }},
		{Name: "cert-name", Arg: "NAME",
			Topics:  []string{topicGeneral, "run", "certonly", topicManage, "delete", "certificates", "revoke", "renew", "install", "enhance", "reconfigure"},
			Help:    "which certificate, by the name of its files below live/; a new one gets that name",
			Default: "the first name of the certificate",
			Target:  func(o *options) any { return &o.certName }},
		{Name: "csr", Arg: "FILE", Topics: []string{"certonly"},
			Help:   "use this signing request, in PEM or DER, and its key, which we never see; the files go to the current directory, and are not renewed",
			Target: func(o *options) any { return &o.csr }},
	}
}
