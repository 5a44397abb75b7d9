package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/profile"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

func newConfigShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE",
		Short: "Show what a configuration file comes to, with everything that it leaves out, and without secrets",
		Args:  takes(1, 1, "one configuration file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, wrong := checkedConfig(args[0], cmd.ErrOrStderr())
			if len(wrong) > 0 {
				return wrong[0]
			}
			return showConfig(cmd.OutOrStdout(), args[0], config)
		},
	}
}

// hidden stands where a secret is.
const hidden = "(hidden)"

// showConfig writes what the file at path, which is in order, comes to.
func showConfig(w io.Writer, path string, config ca.Config) error {
	var f upFlags
	flags := pflag.NewFlagSet("file", pflag.ContinueOnError)
	flags.SortFlags = false
	f.add(flags)
	file, err := readConfig(path, flags)
	if err != nil {
		return err
	}
	document := &yaml.Node{Kind: yaml.MappingNode}
	add := func(key string, value any) error {
		var node yaml.Node
		if err := node.Encode(value); err != nil {
			return fmt.Errorf("showing %s: %w", key, err)
		}
		document.Content = append(document.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, &node)
		return nil
	}
	if err := add(versionKey, configVersions().newest()); err != nil {
		return err
	}
	for _, one := range effectiveFlags(flags) {
		if err := add(one.key, one.value); err != nil {
			return err
		}
	}
	effective := effectiveSections(config.WithDefaults(), file)
	for _, name := range sectionNames(sections()) {
		if value := effective[name]; value != nil {
			if err := add(name, value); err != nil {
				return err
			}
		}
	}
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	if err := encoder.Encode(document); err != nil {
		return err
	}
	return encoder.Close()
}

// setting is a key with its value.
type setting struct {
	key   string
	value any
}

// effectiveFlags lists the keys that stand for flags, but for those that are empty, and those that a section says.
func effectiveFlags(flags *pflag.FlagSet) (list []setting) {
	said := []string{"resolver", "require-dnssec", "caa-identity", "no-caa", "dns-persist-01", "onion", "limits"}
	flags.VisitAll(func(flag *pflag.Flag) {
		key, text := strings.ReplaceAll(flag.Name, "-", "_"), flag.Value.String()
		switch {
		case slices.Contains(notInFile, flag.Name) || slices.Contains(said, flag.Name):
		case flag.Name == "database" && text != "":
			list = append(list, setting{key, redacted(text)})
		case strings.HasSuffix(flag.Value.Type(), "Array"):
			if values := flag.Value.(pflag.SliceValue).GetSlice(); len(values) > 0 {
				list = append(list, setting{key, values})
			}
		case flag.Value.Type() == "bool":
			list = append(list, setting{key, text == "true"})
		case text != "":
			list = append(list, setting{key, text})
		}
	})
	return list
}

// effectiveSections is what each section comes to. Those without defaults are as they stand.
func effectiveSections(c ca.Config, file configFile) map[string]any {
	limits := map[string]string{}
	for _, name := range rules.LimitNames() {
		limits[string(name)] = "off"
		if limit := c.Limits[name]; limit.On() {
			limits[string(name)] = limit.String()
		}
	}
	show := map[string]any{
		"caa":          map[string]any{"identities": c.CAAIdentities, "off": c.NoCAA},
		"dns":          shownDNS(c, file),
		"retention":    shownRetention(c.Retention),
		"limits":       limits,
		"perspectives": shownPerspectives(c.Perspectives),
		"challenges":   shownChallenges(c, file),
		"work": map[string]any{
			"validations": c.Work.Validations, "issuances": c.Work.Issuances,
			"calls": orStandard(c.Work.Listen, workCalls),
		},
		"signer": map[string]any{"calls": orStandard(c.Signer.Listen, signerCalls)},
		"validator": map[string]any{
			"questions": c.Validator.Questions, "calls": orStandard(c.Validator.Listen, validatorCalls),
		},
		"front": map[string]any{
			"names": c.Front.Names, "certificate": c.Front.Certificate, "key": c.Front.Key,
			"calls": orStandard(c.Front.Listen, frontCalls),
		},
	}
	if c.CRL.URL != "" {
		show["crl"] = map[string]string{"url": c.CRL.URL}
	}
	if node := file.nodes["profiles"]; node != nil {
		show["profiles"] = node // as they stand: `cairn profiles` shows what they come to
	}
	if keys := c.EAB.Keys; len(keys) > 0 {
		secret := map[string]string{}
		for id := range keys {
			secret[id] = hidden
		}
		show["external_accounts"] = map[string]any{"keys": secret}
	}
	return show
}

func shownDNS(c ca.Config, file configFile) map[string]any {
	show := map[string]any{
		"upstreams": c.Resolvers, "attempt": duration(c.DNS.Attempt), "timeout": duration(c.DNS.Timeout),
		"require_dnssec": c.DNS.RequireDNSSEC, "signed_name": c.DNS.SignedName,
	}
	if s, ok := file.sections["dns"].(*dnsSection); ok && s.CAFile != "" {
		show["ca_file"] = s.CAFile
	}
	return show
}

func shownPerspectives(p ca.Perspectives) map[string]any {
	return map[string]any{"baseline": p.Baseline, "timeout": duration(p.Timeout), "grace": duration(p.Grace), "check": duration(p.Check)}
}

func shownChallenges(c ca.Config, file configFile) map[string]any {
	show := map[string]any{"dns-persist-01": string(c.Challenges.Persist), "onion-csr-01": c.Challenges.Onion}
	if s, ok := file.sections["challenges"].(*challengesSection); ok && s.Possession != nil {
		show["proof-of-possession-01"] = s.Possession
	}
	return show
}

// duration is a time as the file has it.
func duration(d time.Duration) string { return profile.Span(d) }

func orStandard(value, standard string) string {
	if value == "" {
		return standard
	}
	return value
}

func shownRetention(r rules.Retention) map[string]string {
	shown := make(map[string]string)
	for name, keep := range map[string]time.Duration{
		"orders": r.Orders, "authorizations": r.Authorizations, "certificates": r.Certificates, "evidence": r.Evidence,
	} {
		shown[name] = "never"
		if keep != rules.Forever {
			shown[name] = duration(keep)
		}
	}
	return shown
}
