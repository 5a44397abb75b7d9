package main

import "github.com/cairn-ca/cairn/internal/bot/command"

// tablePaths has where things are.
func tablePaths() []option {
	return []option{
		{Name: "cert-path", Arg: "FILE", Topics: []string{topicPaths, "certonly", "install", "revoke"},
			Help:   "the certificate, in PEM: to revoke or install it, or where to put it with --csr",
			Target: func(o *options) any { return &o.certPath }},
		{Name: "key-path", Arg: "FILE", Topics: []string{topicPaths, "install", "revoke"},
			Help:   "its private key; enough to revoke a certificate without the account that got it",
			Target: func(o *options) any { return &o.keyPath }},
		{Name: "fullchain-path", Arg: "FILE", Topics: []string{topicPaths, "certonly", "install"},
			Help:   "the certificate with its chain",
			Target: func(o *options) any { return &o.fullchainPath }},
		{Name: "chain-path", Arg: "FILE", Topics: []string{topicPaths, "certonly", "install"},
			Help:   "the chain without the certificate",
			Target: func(o *options) any { return &o.chainPath }},
		{Name: "config-dir", Arg: "DIR", Topics: []string{topicPaths},
			Help: "certificates, keys, accounts, and how to renew", Default: defaultConfigDir,
			Target: func(o *options) any { return &o.configDir }},
		{Name: "work-dir", Arg: "DIR", Topics: []string{topicPaths},
			Help: "what is under way, and backups", Default: defaultWorkDir,
			Target: func(o *options) any { return &o.workDir }},
		{Name: "logs-dir", Arg: "DIR", Topics: []string{topicPaths},
			Help: "logs", Default: defaultLogsDir,
			Target: func(o *options) any { return &o.logsDir }},
		{Name: "server", Arg: "URL", Topics: []string{topicPaths, "certonly", "revoke", "register", "doctor", "import"},
			Help: "the CA's directory", Default: defaultServer,
			Target: func(o *options) any { return &o.server }},
	}
}

// tableAccount has as whom we come to the CA.
func tableAccount() []option {
	account := []string{"register", "update_account", topicAutomation}
	return []option{
		{Name: "email", Short: "m", Arg: "ADDRESS", Topics: account,
			Help:   "where the CA can reach you; several separated by commas",
			Target: func(o *options) any { return &o.email }},
		{Name: "register-unsafely-without-email", Topics: account,
			Help:   "register without an address, which is the default where nobody can be asked",
			Target: func(o *options) any { return &o.noEmail }},
		{Name: "agree-tos", Topics: []string{topicAutomation, "register"},
			Help:   "agree to the CA's terms of service",
			Target: func(o *options) any { return &o.agreeTOS }},
		{Name: "eff-email", Topics: []string{"register", "update_account"},
			Help: "give your address to the Electronic Frontier Foundation, too, once there is a certificate, as certbot does", Default: "ask",
			Target: func(o *options) any { return &o.effEmail }},
		{Name: "no-eff-email", Dest: "eff-email", Topics: []string{"register", "update_account"},
			Help:   "give it to nobody but the CA",
			Target: func(o *options) any { return command.Off{Bool: &o.effEmail} }},
		{Name: "account", Arg: "ID", Topics: []string{"unregister", "update_account", "show_account", "certonly"},
			Help:   "which account to use, where there are several",
			Target: func(o *options) any { return &o.account }},
		{Name: "eab-kid", Arg: "ID", Topics: []string{topicGeneral, "register", "certonly"},
			Help:   "the identifier of a key that the CA gave you to register with (external account binding)",
			Target: func(o *options) any { return &o.eabKeyID }},
		{Name: "eab-hmac-key", Arg: "KEY", Secret: true, Topics: []string{topicGeneral, "register", "certonly"},
			Help:   "that key, in base64url",
			Target: func(o *options) any { return &o.eabKey }},
		{Name: "eab-hmac-alg", Arg: "ALG", Choices: []string{"HS256", "HS384", "HS512"}, Topics: []string{topicGeneral, "register", "certonly"},
			Help: "how it signs: HS256, HS384 or HS512", Default: "HS256",
			Target: func(o *options) any { return &o.eabAlg }},
	}
}

// tableVerbs has what a single verb knows.
func tableVerbs() []option {
	return []option{
		{Name: "reason", Arg: "REASON", AnyCase: true, Topics: []string{"revoke"},
			Choices: []string{"unspecified", "keycompromise", "affiliationchanged", "superseded", "cessationofoperation"},
			Help:    "unspecified, keycompromise, affiliationchanged, superseded or cessationofoperation", Default: "unspecified",
			Target: func(o *options) any { return &o.reason }},
		{Name: "delete-after-revoke", Topics: []string{"revoke"},
			Help: "delete the files of a certificate once it is revoked", Default: "ask, or yes",
			Target: func(o *options) any { return &o.deleteAfterRevoke }},
		{Name: "no-delete-after-revoke", Dest: "delete-after-revoke", Topics: []string{"revoke"},
			Help:   "keep them",
			Target: func(o *options) any { return command.Off{Bool: &o.deleteAfterRevoke} }},
		{Name: "checkpoints", Arg: "N", Topics: []string{"rollback"},
			Help: "how many changes to the web server's settings to undo", Default: "1",
			Target: func(o *options) any { return &o.checkpoints }},
		{Name: "init", Topics: []string{topicPlugins},
			Help:   "list only what can be used with this configuration",
			Target: func(o *options) any { return &o.pluginsInit }},
		{Name: "prepare", Topics: []string{topicPlugins},
			Help:   "the same, after a look at whether it would work",
			Target: func(o *options) any { return &o.pluginsPrepare }},
		{Name: "authenticators", Topics: []string{topicPlugins},
			Help:   "list only what can prove control of names",
			Target: func(o *options) any { return &o.onlyAuthenticators }},
		{Name: "installers", Topics: []string{topicPlugins},
			Help:   "list only what can install certificates",
			Target: func(o *options) any { return &o.onlyInstallers }},
	}
}
