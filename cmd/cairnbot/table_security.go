package main

// tableKeys has what the certificate is made of.
func tableKeys() []option {
	return []option{
		{Name: "key-type", Arg: "TYPE", Choices: []string{"rsa", "ecdsa"}, Topics: []string{topicSecurity, "certonly", "renew"},
			Help: "the kind of the certificate's key: rsa or ecdsa", Default: "ecdsa",
			Target: func(o *options) any { return &o.keyType }},
		{Name: "both-key-types", Topics: []string{topicSecurity, "certonly"},
			Help:   "get a second certificate for the same names, with a key of the other type, as NAME-rsa (or NAME-ecdsa)",
			Target: func(o *options) any { return &o.bothKeyTypes }},
		{Name: "elliptic-curve", Arg: "CURVE", Choices: []string{"secp256r1", "secp384r1", "secp521r1"}, Topics: []string{topicSecurity},
			Help: "secp256r1, secp384r1 or secp521r1", Default: "secp256r1",
			Target: func(o *options) any { return &o.curve }},
		{Name: "rsa-key-size", Arg: "BITS", Topics: []string{topicSecurity},
			Help: "how long an RSA key is", Default: "2048",
			Target: func(o *options) any { return &o.rsaBits }},
		{Name: "must-staple", Topics: []string{topicSecurity},
			Help:   "ask that servers must staple an OCSP answer to this certificate; few CAs have OCSP still",
			Target: func(o *options) any { return &o.mustStaple }},
		{Name: "preferred-chain", Arg: "ISSUER", Topics: []string{topicGeneral, "certonly", "renew"},
			Help:   "of several chains, take the one that ends below the CA with this common name",
			Target: func(o *options) any { return &o.preferredChain }},
		{Name: "preferred-profile", Arg: "PROFILE", Topics: []string{topicGeneral, "certonly", "renew"},
			Help:   "ask for this kind of certificate if the CA offers it",
			Target: func(o *options) any { return &o.preferredProfile }},
		{Name: "required-profile", Arg: "PROFILE", Topics: []string{topicGeneral, "certonly", "renew"},
			Help:   "ask for this kind of certificate, and fail if the CA does not offer it",
			Target: func(o *options) any { return &o.requiredProfile }},
		{Name: "preferred-challenges", Arg: "LIST", List: true, Topics: []string{topicGeneral, "certonly", "renew"},
			Help:   "which ways of proof to use, the best first, such as dns or http",
			Target: func(o *options) any { return &challengeList{o} }},
		{Name: "issuance-timeout", Arg: "SECONDS", Topics: []string{topicGeneral},
			Help: "how long to wait for the CA to make the certificate", Default: "90",
			Target: func(o *options) any { return &o.issuanceTimeout }},
	}
}

// tableSecurity has whom and what we trust.
func tableSecurity() []option {
	return []option{
		{Name: "strict-permissions", Topics: []string{topicSecurity},
			Help:   "refuse files with secrets, and directories, that other users can change or read",
			Target: func(o *options) any { return &o.strictPermissions }},
		{Name: "ca-bundle", Arg: "FILE", Own: true, Topics: []string{topicSecurity, topicTesting},
			Help:   "certificates to trust when talking to the CA, instead of the system's (also REQUESTS_CA_BUNDLE)",
			Target: func(o *options) any { return &o.caBundle }},
	}
}

// tableTesting has what is for trials, and for networks that are not as usual.
func tableTesting() []option {
	return []option{
		{Name: "staging", Aliases: []string{"test-cert"}, Topics: []string{topicTesting, "run", "certonly", "revoke"},
			Help:   "use Let's Encrypt's server for tests: its certificates are worth nothing, and it has room for mistakes",
			Target: func(o *options) any { return &o.staging }},
		{Name: "dry-run", Topics: []string{topicTesting, "certonly", "renew", "reconfigure", "import"},
			Help:   "do all of it with a server for tests, and keep nothing",
			Target: func(o *options) any { return &o.dryRun }},
		{Name: "debug-challenges", Topics: []string{topicTesting},
			Help:   "wait for Enter before the CA is asked to look; with -v, show what it will look at",
			Target: func(o *options) any { return &o.debugChallenges }},
		{Name: "debug", Topics: []string{topicTesting},
			Help:   "show where in the program an error comes from",
			Target: func(o *options) any { return &o.debug }},
		{Name: "no-verify-ssl", Topics: []string{topicTesting},
			Help:   "do not check the CA's own certificate: anyone could pose as the CA",
			Target: func(o *options) any { return &o.noVerifySSL }},
		{Name: "http-01-port", Arg: "PORT", Topics: []string{topicTesting, topicStandalone, "certonly", "doctor"},
			Help: "where --standalone listens; the CA still connects to port 80, unless it has been told otherwise", Default: "80",
			Target: func(o *options) any { return &o.httpPort }},
		{Name: "http-01-address", Arg: "ADDRESS", Topics: []string{topicTesting, topicStandalone, "certonly"},
			Help: "the address on which --standalone listens", Default: "all",
			Target: func(o *options) any { return &o.httpAddress }},
		{Name: "https-port", Arg: "PORT", Topics: []string{topicTesting, "run"},
			Help: "where the web server listens for https://", Default: "443",
			Target: func(o *options) any { return &o.httpsPort }},
		{Name: "break-my-certs", Topics: []string{topicTesting},
			Help:   "let a certificate of a server for tests take the place of a valid one",
			Target: func(o *options) any { return &o.breakMyCerts }},
	}
}
