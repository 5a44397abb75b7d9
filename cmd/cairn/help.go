package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpWidth is how wide the help on flags may be, in columns.
const helpWidth = 110

// upGroups are the headings under which `cairn up --help` has its flags. What is in none comes last.
func upGroups() []flagGroup {
	return []flagGroup{
		{"Where it is", []string{"config", "roles", "calls", "advertise", "data", "database", "listen", "http", "url"}},
		{"What it issues for", []string{"names", "new-root", "onion", "subdomains"}},
		{"How control of a name is proven", []string{"http-01-port", "tls-alpn-01-port", "allow-target", "dns-persist-01"}},
		{"DNS and CAA", []string{"resolver", "resolver-ca", "require-dnssec", "caa-identity", "no-caa"}},
		{"Accounts and their limits", []string{"terms", "terms-change", "eab", "limits"}},
		{"Watching it", []string{"ops", "otlp", "trace-ratio", "drain-delay", "log-format"}},
	}
}

// flagGroup is a heading with the names of the flags under it.
type flagGroup struct {
	title string
	flags []string
}

// noValue is how pflag shows a flag that needs no value.
var noValue = regexp.MustCompile(`\[=true\|false\]`)

// showFlags writes flags under the headings of groups, and those in none of them under "Flags".
func showFlags(flags *pflag.FlagSet, groups []flagGroup) string {
	var text strings.Builder
	shown := map[string]bool{}
	for _, group := range groups {
		set := pflag.NewFlagSet(group.title, pflag.ContinueOnError)
		set.SortFlags = false
		for _, name := range group.flags {
			if flag := flags.Lookup(name); flag != nil {
				set.AddFlag(flag)
				shown[name] = true
			}
		}
		text.WriteString(group.title + ":\n" + usages(set) + "\n")
	}
	rest := pflag.NewFlagSet("Flags", pflag.ContinueOnError)
	rest.SortFlags = false
	flags.VisitAll(func(flag *pflag.Flag) {
		if !shown[flag.Name] {
			rest.AddFlag(flag)
		}
	})
	title := "Flags"
	if len(groups) > 0 {
		title = "More"
	}
	return text.String() + title + ":\n" + usages(rest)
}

// usages shows flags without the values that nobody writes.
func usages(flags *pflag.FlagSet) string {
	return noValue.ReplaceAllString(flags.FlagUsagesWrapped(helpWidth), strings.Repeat(" ", len("[=true|false]")))
}

// showUsage writes how a command is used: the end of its help.
func showUsage(cmd *cobra.Command) error {
	var text strings.Builder
	line := cmd.UseLine()
	if cmd.HasAvailableSubCommands() {
		line = cmd.CommandPath() + " COMMAND"
		if !cmd.HasParent() || cmd.Name() == "validator" {
			line = cmd.CommandPath() + " [flags]\n  " + line
		}
	}
	text.WriteString("Usage:\n  " + line + "\n")
	if cmd.HasExample() {
		text.WriteString("\nExamples:\n" + cmd.Example + "\n")
	}
	if cmd.HasAvailableSubCommands() {
		text.WriteString("\nCommands:\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&text, "  %-*s %s\n", sub.NamePadding(), sub.Name(), sub.Short)
			}
		}
	}
	var groups []flagGroup
	switch cmd.CommandPath() {
	case "cairn up", "cairn serve":
		groups = upGroups()
	case "cairn bench":
		groups = benchGroups()
	}
	text.WriteString("\n" + showFlags(cmd.LocalFlags(), groups))
	if cmd.HasAvailableSubCommands() {
		text.WriteString("\n" + cmd.CommandPath() + " COMMAND --help says more about a command.\n")
	}
	_, err := io.WriteString(cmd.OutOrStdout(), text.String())
	return err
}
