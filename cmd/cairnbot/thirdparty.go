package main

import (
	"fmt"
	"strings"
)

// thirdParty is a plugin that others have made for certbot, in Python, which no single
// binary can load, and what takes its place.
type thirdParty struct {
	name    string // as -a and -i take it
	instead string
}

// Ways to do without a plugin.
const (
	insteadHooks  = "--manual with --manual-auth-hook and --manual-cleanup-hook, which run scripts of yours"
	insteadDeploy = "certonly with --deploy-hook, which runs a command of yours for each new certificate"
)

func insteadDNS(provider string) string { return "--dns " + provider }

// thirdParties are those that certbot's documentation lists.
func thirdParties() []thirdParty {
	return []thirdParty{
		{"haproxy", "--webroot or --standalone, and " + insteadDeploy},
		{"s3front", insteadDNS("route53") + ", and " + insteadDeploy},
		{"gandi", insteadDNS("gandiv5")},
		{"varnish", "--standalone with --http-01-port, to which Varnish passes /.well-known/acme-challenge/"},
		{"external-auth", insteadHooks}, {"external", insteadHooks},
		{"pritunl", "--standalone, and " + insteadDeploy},
		{"proxmox", "--standalone or --dns, and " + insteadDeploy},
		{"nginx-unit", "--webroot, and " + insteadDeploy}, {"unit", "--webroot, and " + insteadDeploy},
		{"pkcs12", insteadDeploy},
		{"standalone-nfq", "--standalone with --http-01-port, or --webroot"},
		{"dns-dnsmanager", insteadHooks}, {"dns-solidserver", insteadDNS("efficientip")}, {"dns-cdmon", insteadHooks},
		{"dns-lightsail", insteadHooks}, {"dns-yandexcloud", insteadHooks}, {"dns-stackit", insteadHooks}, {"dns-aliyun", insteadHooks},
		{"njalla", insteadDNS("njalla")},
	}
}

// explainUnknown says what to use instead of an option of a plugin that certbot can load and we cannot.
func explainUnknown(option string) string {
	if i := strings.LastIndexByte(option, ':'); i >= 0 {
		option = option[i+1:]
	}
	best := thirdParty{}
	for _, plugin := range thirdParties() {
		if (option == plugin.name || strings.HasPrefix(option, plugin.name+"-")) && len(plugin.name) > len(best.name) {
			best = plugin
		}
	}
	switch {
	case best.name != "":
		return fmt.Sprintf("it belongs to the plugin %s, which is a separate Python program; use %s", best.name, best.instead)
	case strings.HasPrefix(option, "dns-"):
		return "it belongs to a plugin that is a separate Python program; use --dns PROVIDER, or " + insteadHooks
	}
	return ""
}

// notInstalled is the error for a method that does not exist here, in the words that certbot has for it.
func notInstalled(method string) error {
	err := fmt.Errorf("the requested %s plugin does not appear to be installed", method)
	if more := explainUnknown(method); more != "" {
		return withHint(err, "%s", strings.TrimPrefix(more, "it belongs to "))
	}
	return withHint(err, "use --standalone, --webroot -w DIR, --manual, or --dns PROVIDER")
}
