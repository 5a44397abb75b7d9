package main

import (
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/command"
)

// chosen is a switch that names a method.
func chosen(name, help string, topics ...string) option {
	return option{Name: name, Help: help, Topics: append([]string{topicPlugins, "run", "certonly"}, topics...),
		Target: func(o *options) any { return &choice{o, name} }}
}

// tablePlugins has how control is proven, and who installs the certificate.
func tablePlugins() []option {
	return []option{
		{Name: "authenticator", Short: "a", Arg: "METHOD", Topics: []string{topicPlugins},
			Help:   "how control of the names is proven: standalone, webroot, manual, dns-…",
			Target: func(o *options) any { return &pluginName{&o.authenticator} }},
		{Name: "installer", Short: "i", Arg: "METHOD", Topics: []string{topicPlugins},
			Help:   "who installs the certificate: nginx, apache",
			Target: func(o *options) any { return &pluginName{&o.installer} }},
		{Name: "configurator", Arg: "METHOD", Topics: []string{topicPlugins},
			Help:   "the same method for both",
			Target: func(o *options) any { return &pluginName{&o.configurator} }},
		chosen("standalone", "answer the CA with a web server of our own, which needs port 80 for a moment", topicStandalone),
		chosen("webroot", "answer the CA through the directory of a web server that is running", topicWebroot),
		chosen("manual", "answer the CA by hand, or with scripts of yours", topicManual),
		{Name: "webroot-path", Short: "w", Arg: "DIR", List: true, Topics: []string{topicWebroot, "certonly"},
			Help:   "the directory that the names of the following -d serve; may be repeated",
			Target: func(o *options) any { return &webrootPath{o} }},
		{Name: "webroot-map", Arg: "JSON", Topics: []string{topicWebroot},
			Help:   `names and their directories in JSON, such as {"a.example,www.a.example": "/var/www/a"}; the names need no -d`,
			Target: func(o *options) any { return &webrootMap{o} }},
		pluginOption("manual-auth-hook", "COMMAND", topicManual,
			"run to answer the CA, once for each name, with CERTBOT_DOMAIN, CERTBOT_VALIDATION and, for HTTP, CERTBOT_TOKEN set", ""),
		pluginOption("manual-cleanup-hook", "COMMAND", topicManual,
			"run when the CA has looked, with CERTBOT_AUTH_OUTPUT as well", ""),
	}
}

// pluginOption is an option that belongs to a method. It is kept in options.plugin by its name in renewal configurations.
func pluginOption(name, arg, topic, help, fallback string) option {
	key := strings.ReplaceAll(name, "-", "_")
	return option{Name: name, Arg: arg, Topics: []string{topic}, Help: help, Default: fallback,
		Target: func(o *options) any { return &pluginValue{o, key, arg == "SECONDS"} }}
}

// tableWebServers has the options of the two web servers that certbot knows.
func tableWebServers() []option {
	return []option{
		chosen("nginx", "use nginx to prove control, and install the certificate in it", topicNginx),
		chosen("apache", "use Apache to prove control, and install the certificate in it", topicApache),
		pluginOption("nginx-server-root", "DIR", topicNginx, "where nginx.conf is", "/etc/nginx"),
		pluginOption("nginx-ctl", "PROGRAM", topicNginx, "the nginx program", "nginx"),
		pluginOption("nginx-sleep-seconds", "SECONDS", topicNginx, "how long nginx takes to read its settings", "1"),
		pluginOption("apache-enmod", "PROGRAM", topicApache, "what enables a module, such as a2enmod", ""),
		pluginOption("apache-dismod", "PROGRAM", topicApache, "what disables a module", ""),
		pluginOption("apache-le-vhost-ext", "SUFFIX", topicApache, "how the names of the files with https:// sites end", "-le-ssl.conf"),
		pluginOption("apache-server-root", "DIR", topicApache, "where Apache's settings are", "as the system has it"),
		pluginOption("apache-vhost-root", "DIR", topicApache, "where the sites' settings are", ""),
		pluginOption("apache-logs-root", "DIR", topicApache, "where Apache's logs are", ""),
		pluginOption("apache-challenge-location", "DIR", topicApache, "where to put settings while the CA looks", ""),
		pluginOption("apache-handle-modules", "BOOL", topicApache, "let us enable modules", ""),
		pluginOption("apache-handle-sites", "BOOL", topicApache, "let us enable sites", ""),
		pluginOption("apache-ctl", "PROGRAM", topicApache, "the program that controls Apache", ""),
		pluginOption("apache-bin", "PROGRAM", topicApache, "the Apache program itself", ""),
	}
}

// tableGone has what certbot had once. Old scripts and cli.ini files still say it.
func tableGone() []option {
	gone := func(name, arg string) option { return option{Name: name, Arg: arg, Hidden: true, Deprecated: true} }
	return []option{
		gone("os-packages-only", ""), gone("no-self-upgrade", ""), gone("no-bootstrap", ""), gone("no-permissions-check", ""),
		gone("manual-public-ip-logging-ok", ""), gone("dns-route53-propagation-seconds", "SECONDS"),
	}
}

// tableEnhancements has what is done to a web server beside giving it a certificate.
func tableEnhancements() []option {
	return []option{
		{Name: "redirect", Topics: []string{topicSecurity, "run", "enhance"},
			Help: "send visitors of http:// on to https://", Default: "yes for run and install, no for enhance",
			Target: func(o *options) any { return &o.redirect }},
		{Name: "no-redirect", Dest: "redirect", Topics: []string{topicSecurity, "run"},
			Help:   "do not",
			Target: func(o *options) any { return command.Off{Bool: &o.redirect} }},
		{Name: "hsts", Topics: []string{topicSecurity, "enhance"},
			Help:   "tell browsers to come by https:// alone, for a year",
			Target: func(o *options) any { return &o.hsts }},
		{Name: "no-hsts", Dest: "hsts", Hidden: true,
			Target: func(o *options) any { return command.Off{Bool: &o.hsts} }},
		{Name: "uir", Topics: []string{topicSecurity, "enhance"},
			Help:   "tell browsers to fetch by https:// what pages refer to by http://",
			Target: func(o *options) any { return &o.uir }},
		{Name: "no-uir", Dest: "uir", Hidden: true,
			Target: func(o *options) any { return command.Off{Bool: &o.uir} }},
		{Name: "staple-ocsp", Topics: []string{topicSecurity, "enhance"},
			Help:   "have the web server staple OCSP answers",
			Target: func(o *options) any { return &o.stapleOCSP }},
		{Name: "no-staple-ocsp", Dest: "staple-ocsp", Hidden: true,
			Target: func(o *options) any { return command.Off{Bool: &o.stapleOCSP} }},
		{Name: "auto-hsts", Topics: []string{topicSecurity, "enhance"},
			Help:   "the same as --hsts, for a short time at first, and longer with each renewal",
			Target: func(o *options) any { return &o.autoHSTS }},
	}
}

// waiting hides rows that nothing acts upon yet: help must be true. They are accepted, and what needs them says what is missing.
func waiting(rows []option) []option {
	for i := range rows {
		rows[i].Hidden = true
	}
	return rows
}

// choice is a switch that names a method.
type choice struct {
	o    *options
	name string
}

// Set takes the method once; whether it goes together with the others is for options.requested.
func (c *choice) Set(string) error {
	c.o.chosen = append(c.o.chosen, c.name)
	return nil
}

// pluginName takes the name of a method.
type pluginName struct{ name *string }

// Set leaves out the package that old files name before a colon (certbot-dns-x:dns-x).
func (p *pluginName) Set(text string) error {
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		text = text[i+1:]
	}
	*p.name = text
	return nil
}

// pluginValue is where an option of a method is kept.
type pluginValue struct {
	o      *options
	key    string
	number bool
}

// Set takes the text as it is: the method itself knows what it means.
func (p *pluginValue) Set(text string) error {
	if p.number {
		var n seconds
		if err := n.Set(text); err != nil {
			return err
		}
	}
	p.o.plugin[p.key] = text
	return nil
}

// requested says which methods the options name (certbot.md: "Too many flags").
func (o *options) requested() (authenticator, installer string, err error) {
	set := func(before *string, name string) error {
		if *before != "" && *before != name {
			return phrase("Too many flags setting configurators/installers/authenticators '" + *before + "' -> '" + name + "'")
		}
		*before = name
		return nil
	}
	authenticator, installer = o.configurator, o.configurator
	if o.authenticator != "" {
		err = set(&authenticator, o.authenticator)
	}
	if err == nil && o.installer != "" {
		err = set(&installer, o.installer)
	}
	for _, name := range o.chosen {
		if err == nil {
			err = set(&authenticator, name)
		}
		if err == nil && (name == "nginx" || name == "apache") {
			err = set(&installer, name)
		}
	}
	return authenticator, installer, err
}

// seconds checks a number of seconds.
type seconds int

// Set takes a number that is not below zero.
func (s *seconds) Set(text string) error {
	n := 0
	for _, digit := range text {
		if digit < '0' || digit > '9' || n > 1<<20 {
			return command.Usagef("invalid int value: '%s'", text)
		}
		n = n*10 + int(digit-'0')
	}
	if text == "" {
		return command.Usagef("invalid int value: ''")
	}
	*s = seconds(n)
	return nil
}
