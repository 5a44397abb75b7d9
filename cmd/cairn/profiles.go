package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/profile"
)

// newProfiles shows what `cairn up` offers with the same configuration file. It asks no running CA.
func newProfiles() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "profiles",
		Short: "Check and show the profiles of a configuration file: the kinds of certificates to choose from",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := profilesIn(path, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			for i, d := range list {
				if err := writeProfile(cmd.OutOrStdout(), d, i == 0); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "`FILE` (YAML) as `cairn up` takes it; without it, the standard profiles")
	return cmd
}

// profilesIn reads the profiles of a configuration file; "" stands for one that says nothing of them.
func profilesIn(path string, errs io.Writer) (profile.List, error) {
	config := ca.Config{Log: quietLog(errs)}
	if path != "" {
		file, err := readConfig(path, newUp().Flags())
		if err != nil {
			return nil, withHint(usageError{err}, "docs/profiles.md shows what can be said of a profile")
		}
		for name := range file.sections {
			if name != "profiles" {
				delete(file.sections, name) // `cairn up` checks them
			}
		}
		if err := file.apply(&config); err != nil {
			return nil, withHint(err, "docs/profiles.md shows what can be said of a profile")
		}
	}
	if config.Profiles == nil {
		return profile.Standard(), nil
	}
	return config.Profiles, nil
}

// writeProfile shows one profile in words.
func writeProfile(w io.Writer, d profile.Definition, standard bool) error {
	title := d.Name
	if standard {
		title += " (for clients that do not choose)"
	}
	lines := []string{title + ": " + d.Description}
	add := func(name, format string, args ...any) {
		lines = append(lines, fmt.Sprintf("  %-16s"+format, append([]any{name}, args...)...))
	}
	add("validity", "%s, back-dated by %s", profile.Span(d.Validity), profile.Span(d.Backdate))
	add("names", "at most %d, %s", d.MaxNames, describeNames(d))
	if d.Keys != nil {
		add("keys", "%s", listed(d.Keys))
	}
	add("usages", "%s", listed(d.Usages))
	add("subject", "%s", describeSubject(d))
	add("revocation", "%s", describeRevocation(d))
	if d.Challenges != nil {
		add("challenges", "%s", listed(d.Challenges))
	}
	reuse := "not reused"
	if d.Reuse > 0 {
		reuse = "reused for " + profile.Span(d.Reuse)
	}
	add("authorizations", "pending for %s, valid for %s, %s", profile.Span(d.PendingLifetime), profile.Span(d.AuthzLifetime), reuse)
	add("orders", "open for %s", profile.Span(d.OrderLifetime))
	if d.External {
		add("accounts", "only with an external account binding")
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

func describeNames(d profile.Definition) string {
	kinds := "domains and addresses"
	if d.Identifiers != nil {
		kinds = listed(d.Identifiers) + " alone"
	}
	if names := d.Names.Strings(); len(names) > 0 {
		kinds += ", under " + strings.Join(names, ", ")
	}
	return kinds
}

func describeSubject(d profile.Definition) string {
	name := d.Sign().SubjectText()
	switch {
	case d.CommonName && name == "":
		return "a common name"
	case d.CommonName:
		return "a common name, " + name
	case name == "":
		return "empty"
	}
	return name
}

func describeRevocation(d profile.Definition) string {
	text := "a CRL"
	switch {
	case d.NoRevAvail:
		text = "none, and the certificate says so"
	case d.NoCRL:
		text = "none"
	}
	if d.MustStaple {
		text += ", and a stapled OCSP response is demanded"
	}
	return text
}

// listed joins names of any type.
func listed[T ~string](items []T) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = string(item)
	}
	return strings.Join(texts, ", ")
}
