package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// renew renews all that is due, or the one that --cert-name names.
func (a *app) renew(ctx context.Context) error {
	if len(a.domains) > 0 {
		return withHint(errors.New("renew takes no -d: it renews every certificate that is due, or the one that is named"),
			"name one with --cert-name, or use certonly")
	}
	a.finishJobs(ctx)
	lineages, broken, err := a.selected()
	if err != nil {
		return err
	}
	unread := broken
	round := renew.Round{
		Now: time.Now(), Force: a.force || a.dryRun, Renew: a.renewOne, Failed: a.renewalFailed,
		Begun: func(l *lineage.Lineage) {
			for len(unread) > 0 && unread[0].Path < l.ConfPath() {
				a.skip(unread[0])
				unread = unread[1:]
			}
			a.processing(l.ConfPath())
		},
		Judged: func(l *lineage.Lineage, at time.Time, why string) {
			a.log.Info("renewal", "name", l.Name, "due", at, "why", why)
			if at.After(time.Now()) {
				a.say("Certificate not yet due for renewal")
			}
		},
	}
	outcomes := round.Run(ctx, lineages)
	a.result = a.renewResult(outcomes, broken)
	for _, b := range unread {
		a.skip(b)
	}
	return a.summarise(outcomes, broken)
}

func (a *app) skip(b lineage.Broken) {
	a.processing(b.Path)
	fmt.Fprintf(a.err, "Renewal configuration file %s is broken: %v. Skipping.\n", b.Path, b.Err)
}

func (a *app) processing(path string) {
	a.say("")
	a.frame()
	a.say("Processing %s", path)
	a.frame()
}

// selected gives the lineages that the options speak of.
func (a *app) selected() ([]*lineage.Lineage, []lineage.Broken, error) {
	if a.certName == "" {
		return a.store.List()
	}
	l, err := a.store.Load(a.certName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, a.noSuch(a.certName)
	}
	if err != nil {
		return nil, nil, err
	}
	return []*lineage.Lineage{l}, nil, nil
}

// renewOne renews one lineage.
func (a *app) renewOne(ctx context.Context, l *lineage.Lineage) error {
	leaf, err := l.Leaf()
	if err != nil {
		return err
	}
	plan := renew.Plan{Action: renew.Renew, Lineage: l.Name, Identifiers: acme.CertificateIdentifiers(leaf)}
	_, err = a.obtain(ctx, plan, l)
	return err
}

// renewalFailed says so at once, for the others may take a while.
func (a *app) renewalFailed(l *lineage.Lineage, err error) {
	a.log.Debug("renewal failed", "name", l.Name, "error", err)
	fmt.Fprintf(a.err, "Failed to renew certificate %s with error: %s\n", l.Name, describe(err))
	if hint := hintFor(err); hint != "" {
		fmt.Fprintln(a.err, "cairnbot: hint:", hint)
	}
}

// summarise prints what became of each lineage, in certbot's words.
func (a *app) summarise(outcomes []renew.Outcome, broken []lineage.Broken) error {
	var renewed, failed, skipped []string
	for _, o := range outcomes {
		path := o.Lineage.Path(lineage.Fullchain)
		switch {
		case o.Err != nil:
			failed = append(failed, path+" (failure)")
		case o.Renewed:
			renewed = append(renewed, path+" (success)")
		default:
			skipped = append(skipped, fmt.Sprintf("%s expires on %s (skipped)", path, o.Expires.UTC().Format(time.DateOnly)))
		}
	}
	a.say("")
	a.frame()
	a.list("The following certificates are not due for renewal yet:", skipped)
	switch {
	case len(renewed) == 0 && len(failed) == 0:
		a.say("No renewals were attempted.")
	case len(failed) == 0:
		a.list(a.congratulation(), renewed)
	case len(renewed) == 0:
		listTo(a.err, "All renewals failed. The following certificates could not be renewed:", failed)
	default:
		a.list("The following renewals succeeded:", renewed)
		listTo(a.err, "The following renewals failed:", failed)
	}
	var invalid []string
	for _, b := range broken {
		invalid = append(invalid, b.Path+" (parsefail)")
	}
	a.list("Additionally, the following renewal configurations were invalid: ", invalid)
	a.frame()
	if len(failed)+len(broken) > 0 {
		return fmt.Errorf("%d renew failure(s), %d parse failure(s)", len(failed), len(broken))
	}
	return nil
}

// list says a heading and what belongs under it; nothing if that is nothing.
func (a *app) list(heading string, lines []string) {
	if len(lines) > 0 && !a.quiet && !a.json {
		listTo(a.out, heading, lines)
	}
}

func listTo(w io.Writer, heading string, lines []string) {
	fmt.Fprintln(w, heading)
	for _, line := range lines {
		fmt.Fprintln(w, "  "+line)
	}
}

// congratulation is what scripts look for, with the blank at its end.
func (a *app) congratulation() string {
	if a.dryRun {
		return "Congratulations, all simulated renewals succeeded: "
	}
	return "Congratulations, all renewals succeeded: "
}
