package main

import (
	"net/netip"

	"github.com/cairn-ca/cairn/internal/bot/notify"
)

// Topics of what certbot has not.
const topicMonitoring = "monitoring"

// tableExtras has what is told to others, and what one verb of ours knows.
func tableExtras() []option {
	return []option{
		{Name: "notify", Arg: "TARGET", List: true, Own: true, Secret: true, Topics: []string{topicMonitoring, "renew", "notify"},
			Help: "tell this target when the state of a certificate changes: https://HOOK, mailto:ADDRESS or exec:COMMAND; may be " +
				"repeated. The file notify.ini in --config-dir can say more.",
			Target: func(o *options) any { return &targets{&o.notify} }},
		{Name: "metrics-file", Arg: "FILE", Own: true, Topics: []string{topicMonitoring, "renew"},
			Help:   "write figures about every certificate into this file, for the textfile collector of Prometheus's node exporter",
			Target: func(o *options) any { return &o.metricsFile }},
	}
}

// tableRehearsal has how a run is tried out without a CA.
func tableRehearsal() []option {
	return []option{
		{Name: "rehearse", Own: true, Topics: []string{topicTesting, "run", "certonly", "renew"},
			Help: "try everything with a CA inside of this program, on copies of the certificates: no network beyond this machine, no limits. " +
				"Pre- and post-hooks run; deploy hooks with --run-deploy-hooks.",
			Target: func(o *options) any { return &o.rehearse }},
		{Name: "rehearse-address", Arg: "ADDRESS", Own: true, Topics: []string{topicTesting},
			Help: "where the CA of a rehearsal finds every name", Default: "127.0.0.1",
			Target: func(o *options) any { return &address{&o.rehearseAddress} }},
	}
}

// address takes an IP address.
type address struct{ text *string }

// Set checks it.
func (a *address) Set(text string) error {
	if _, err := netip.ParseAddr(text); err != nil {
		return usagef("argument --rehearse-address: %q is not an IP address", text)
	}
	*a.text = text
	return nil
}

// targets takes --notify.
type targets struct{ list *[]string }

// Set adds one.
func (t *targets) Set(text string) error {
	if err := notify.CheckTarget(text); err != nil {
		return usagef("argument --notify: %v", err)
	}
	*t.list = append(*t.list, text)
	return nil
}
