package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/cairn-ca/cairn/internal/bot/reference"
)

// renamed is the result of rename.
type renamed struct {
	From       string           `json:"from"`
	To         string           `json:"to"`
	References []reference.Line `json:"references"` // lines of servers' settings with the old name
}

// rename gives a certificate another name, which is that of its files.
func (a *app) rename(ctx context.Context) error {
	if a.newName == "" {
		return missing("--new-name NAME", "how the certificate is to be called")
	}
	l, err := a.chooseLineage(ctx, "Which certificate would you like to rename?")
	if err != nil {
		return err
	}
	lines := a.references(l.Name)
	if len(lines) > 0 && !a.leaveLink {
		for _, line := range lines {
			fmt.Fprintf(a.err, "  %s:%d: %s\n", line.File, line.Number, line.Text)
		}
		return withHint(fmt.Errorf("the settings of servers name the files of %s: %d lines", l.Name, len(lines)),
			"--leave-link keeps the old name working; change the settings afterwards")
	}
	// What an earlier run has begun for this name could not be found under the other.
	if job, err := a.jobs().Load(l.Name); err == nil && job != nil {
		return withHint(fmt.Errorf("an order for %s has been begun and not finished", l.Name), "finish it first: %s renew --cert-name %s --force-renewal", a.name, l.Name)
	}
	from := l.Name
	err = a.store.Rename(from, a.newName, a.leaveLink)
	if errors.Is(err, fs.ErrExist) {
		return withHint(err, "choose another --new-name, or delete that one first")
	}
	if err != nil {
		return err
	}
	a.forgetAll(from)
	if err := a.deployments.kept.Rename(from, a.newName); err != nil {
		a.log.Warn("it is not remembered what was not deployed", "name", a.newName, "error", err)
	}
	if lines == nil {
		lines = []reference.Line{}
	}
	a.result = renamed{From: from, To: a.newName, References: lines}
	a.say("The certificate %s is called %s now. Its files are in %s.", from, a.newName, filepath.Join(a.store.Dirs().Config, "live", a.newName))
	if a.leaveLink {
		a.say("The old name still leads there.")
	}
	return nil
}
