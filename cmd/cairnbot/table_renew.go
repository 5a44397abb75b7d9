package main

import "github.com/cairn-ca/cairn/internal/bot/command"

// tableRenewals has what is decided where a certificate exists already.
func tableRenewals() []option {
	return []option{
		{Name: "keep-until-expiring", Aliases: []string{"keep", "reinstall"}, Topics: []string{topicAutomation, "run", "certonly"},
			Help: "do nothing while the certificate that is there is good for long enough", Default: "ask",
			Target: func(o *options) any { return &o.keep }},
		{Name: "expand", Topics: []string{topicAutomation, "run", "certonly"},
			Help: "replace a certificate that has some of the names by one with all of them", Default: "ask",
			Target: func(o *options) any { return &o.expand }},
		{Name: "force-renewal", Aliases: []string{"renew-by-default"}, Topics: []string{topicAutomation, "renew", "certonly"},
			Help:   "renew now, due or not; CAs limit how often. Implies --expand.",
			Target: func(o *options) any { return &o.force }},
		{Name: "renew-with-new-domains", Topics: []string{topicAutomation, "certonly"},
			Help:   "renew the certificate of that name at once if its names differ from those asked for",
			Target: func(o *options) any { return &o.renewWithNewDomains }},
		{Name: "duplicate", Topics: []string{topicAutomation, "certonly"},
			Help:   "get another certificate for the same names, and leave the one that is there alone",
			Target: func(o *options) any { return &o.duplicate }},
		{Name: "allow-subset-of-names", Topics: []string{topicAutomation, "renew", "certonly"},
			Help:   "if control of some names cannot be proven, get a certificate for the others; not with wildcards or --csr",
			Target: func(o *options) any { return &o.allowSubset }},
		{Name: "reuse-key", Topics: []string{topicAutomation, "renew", "certonly", "reconfigure"},
			Help:   "keep the private key when renewing",
			Target: func(o *options) any { return &o.reuseKey }},
		{Name: "no-reuse-key", Dest: "reuse-key", Topics: []string{topicAutomation, "renew", "certonly", "reconfigure"},
			Help: "make a new one each time", Default: "this",
			Target: func(o *options) any { return command.Off{Bool: &o.reuseKey} }},
		{Name: "new-key", Topics: []string{topicAutomation, "renew", "certonly"},
			Help:   "make a new key once, also where --reuse-key is set",
			Target: func(o *options) any { return &o.newKey }},
		{Name: "no-autorenew", Dest: "autorenew", Topics: []string{"renew", topicAutomation},
			Help:   "leave this certificate out when \"renew\" looks for those that are due",
			Target: func(o *options) any { return command.Off{Bool: &o.autoRenew} }},
		{Name: "autorenew", Dest: "autorenew", Hidden: true,
			Target: func(o *options) any { return &o.autoRenew }},
		{Name: "no-random-sleep-on-renew", Hidden: true, Topics: []string{"renew"},
			Target: func(o *options) any { return &o.noRandomSleep }},
		{Name: "disable-renew-updates", Topics: []string{"renew"},
			Help:   "leave the web server's settings alone when renewing",
			Target: func(o *options) any { return &o.noRenewUpdates }},
	}
}

// tableHooks has an operator's commands.
func tableHooks() []option {
	return []option{
		{Name: "pre-hook", Arg: "COMMAND", Topics: []string{"renew", "reconfigure"},
			Help:   "run before a certificate is asked for, such as one that frees port 80; kept for renewals, as those below",
			Target: func(o *options) any { return &o.preHook }},
		{Name: "post-hook", Arg: "COMMAND", Topics: []string{"renew", "reconfigure"},
			Help:   "run at the end, if a certificate was asked for; with RENEWED_DOMAINS and FAILED_DOMAINS set",
			Target: func(o *options) any { return &o.postHook }},
		{Name: "deploy-hook", Arg: "COMMAND", Topics: []string{"renew", "reconfigure"},
			Help:   "run for each new certificate, with RENEWED_LINEAGE and RENEWED_DOMAINS set, such as one that reloads a server",
			Target: func(o *options) any { return &o.deployHook }},
		{Name: "renew-hook", Arg: "COMMAND", Dest: "deploy-hook", Hidden: true,
			Target: func(o *options) any { return &o.deployHook }},
		{Name: "disable-hook-validation", Topics: []string{"renew"},
			Help:   "do not check that the commands can be found",
			Target: func(o *options) any { return &o.noHookCheck }},
		{Name: "no-directory-hooks", Topics: []string{"renew"},
			Help:   "leave out the scripts in renewal-hooks/ of the configuration directory",
			Target: func(o *options) any { return &o.noDirectoryHooks }},
		{Name: "run-deploy-hooks", Topics: []string{"reconfigure", topicTesting, "renew"},
			Help:   "run deploy hooks also with --dry-run, and when \"reconfigure\" tries its change",
			Target: func(o *options) any { return &o.runDeployHooks }},
	}
}
