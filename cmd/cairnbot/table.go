package main

import (
	"slices"

	"github.com/cairn-ca/cairn/internal/bot/command"
)

// option is a row of the table: one option, and all that is known about it.
type option = command.Option[options]

// Topics of the help. Those of certbot have its names; a verb is a topic, too.
const (
	topicGeneral    = "general"
	topicAutomation = "automation"
	topicSecurity   = "security"
	topicTesting    = "testing"
	topicPaths      = "paths"
	topicManage     = "manage"
	topicPlugins    = "plugins"
	topicStandalone = "standalone"
	topicWebroot    = "webroot"
	topicManual     = "manual"
	topicNginx      = "nginx"
	topicApache     = "apache"
)

// table lists every option, in the order of the help.
func table() []option {
	return slices.Concat(tableGeneral(), tableNames(), tableRenewals(), tableRounds(), tableKeys(), tableSecurity(), tableTesting(), tablePaths(),
		tableHooks(), tableAccount(), tableVerbs(), tableManage(), tableService(), tablePlugins(), tableDNS(), tableExtras(), tableRehearsal(),
		waiting(tableWebServers()), waiting(tableEnhancements()), tableGone())
}

// language is certbot's command line, with what we add to it.
func language() *command.Language[options] {
	l := &command.Language[options]{Options: table(), Topics: topics(), Explain: explainUnknown,
		// certbot's VAR_MODIFIERS: whoever chooses a CA has chosen anew among its accounts.
		Modifiers: map[string][]string{"account": {"server"}, "server": {"dry-run", "staging"}, "webroot-map": {"webroot-path"}}}
	for _, v := range verbs() {
		l.Verbs = append(l.Verbs, command.Verb{Name: v.name, Aliases: v.aliases, Help: v.help, Removed: v.removed, Words: v.words,
			Hidden: v.run == nil && v.quick == nil && v.name != command.HelpVerb})
	}
	return l
}
