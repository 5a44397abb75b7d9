package main

import (
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/command"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/schedule"
)

// announce says where a certificate is, in certbot's words, and what is left to do.
func (a *app) announce(l *lineage.Lineage) error {
	leaf, err := l.Leaf()
	if err != nil {
		return err
	}
	a.say("\nSuccessfully received certificate.")
	a.say("Certificate is saved at: %s", l.Path(lineage.Fullchain))
	a.say("Key is saved at:         %s", l.Path(lineage.Key))
	a.say("This certificate expires on %s.", leaf.NotAfter.UTC().Format(time.DateOnly))
	a.say("These files will be updated when the certificate renews.")
	if a.scheduled() {
		a.say("Certbot has set up a scheduled task to automatically renew this certificate in the background.")
	}
	a.say("")
	steps := a.nextSteps(l)
	if len(steps) > 0 {
		a.say("NEXT STEPS:")
	}
	for _, step := range steps {
		a.say("- %s", step)
	}
	return nil
}

// scheduled reports whether renewals happen by themselves: a unit or a line for cron is there, which are for the usual
// directory, or somebody says so who must know. A cli.ini that says it may be what is left of a package whose timer is gone:
// Debian's is kept when its certbot is removed. To believe that would end in expired certificates.
func (a *app) scheduled() bool {
	if a.preconfiguredRenewal && a.sources.Of("preconfigured-renewal") == command.CLI {
		return true
	}
	found := schedule.Installed(a.root) || len(schedule.Others(a.root)) > 0
	return found && (a.preconfiguredRenewal || a.configDir == defaultConfigDir)
}

// nextSteps are what a person has to do after a certificate was obtained.
func (a *app) nextSteps(l *lineage.Lineage) (steps []string) {
	params, err := l.Conf.Params()
	byHand := err == nil && params.Authenticator == "manual" && params.Plugin["manual_auth_hook"] == ""
	switch {
	case byHand:
		steps = append(steps, "This certificate will not be renewed automatically: a person has proven control, and there is no script that could "+
			"(--manual-auth-hook). To renew it, repeat this same command before it expires.")
	case !a.scheduled():
		steps = append(steps, fmt.Sprintf("The certificate will need to be renewed before it expires: \"%s schedule\" sets that up once for all certificates. "+
			"(It has systemd or cron run \"%s renew\" twice a day.)", a.name, a.name))
	}
	if a.installByHand {
		certificate, key := l.Path(lineage.Fullchain), l.Path(lineage.Key)
		steps = append(steps,
			fmt.Sprintf("Tell your server to use the certificate. nginx, in the server block:\n    listen 443 ssl;\n    ssl_certificate %[1]s;\n    ssl_certificate_key %[2]s;\n"+
				"  Apache, in the virtual host for port 443:\n    SSLEngine on\n    SSLCertificateFile %[1]s\n    SSLCertificateKeyFile %[2]s", certificate, key))
	}
	if a.installByHand && params.DeployHook == "" {
		steps = append(steps, fmt.Sprintf("Have it read the next certificate after each renewal, such as with\n    %s reconfigure --cert-name %s --deploy-hook 'systemctl reload nginx'", a.name, l.Name))
	}
	return steps
}
