package main

import "github.com/cairn-ca/cairn/internal/bot/notify"

// Topics of what certbot has not.
const topicMonitoring = "monitoring"

// tableExtras has what is told to others, and what one verb of ours knows.
func tableExtras() []option {
	return []option{
		{Name: "notify", Arg: "TARGET", List: true, Own: true, Topics: []string{topicMonitoring, "renew", "notify"},
			Help: "tell this target when the state of a certificate changes: https://HOOK, mailto:ADDRESS or exec:COMMAND; may be " +
				"repeated. The file notify.ini in --config-dir can say more.",
			Target: func(o *options) any { return &targets{&o.notify} }},
		{Name: "metrics-file", Arg: "FILE", Own: true, Topics: []string{topicMonitoring, "renew"},
			Help:   "write figures about every certificate into this file, for the textfile collector of Prometheus's node exporter",
			Target: func(o *options) any { return &o.metricsFile }},
	}
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
