package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/ask"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/reference"
)

// deleted is the result of delete.
type deleted struct {
	Deleted    []string         `json:"deleted"`    // names of certificates
	References []reference.Line `json:"references"` // lines of servers' settings that still name them
}

// delete removes certificates from this machine.
func (a *app) delete(ctx context.Context) error {
	names, err := a.toDelete(ctx)
	if err != nil {
		return err
	}
	var lines []reference.Line
	for _, name := range names {
		lines = append(lines, a.references(name)...)
	}
	yes, err := a.ask.YesNo(ctx, ask.YesNo{
		Question: ask.Question{Text: deletionText(names, lines), Flag: "-n"},
		Default:  ask.Yes,
	})
	if err != nil {
		return err
	}
	result := deleted{Deleted: []string{}, References: lines}
	if result.References == nil {
		result.References = []reference.Line{}
	}
	a.result = &result
	if !yes {
		a.say("Nothing was deleted.")
		return nil
	}
	if !a.ask.Interactive(false) { // nobody has read the question
		for _, line := range lines {
			a.log.Warn("a server's settings name a certificate that is being deleted; the server will not start again without it",
				"file", line.File, "line", line.Number, "text", line.Text)
		}
	}
	for _, name := range names {
		if err := a.deleteOne(name); err != nil {
			return err
		}
		result.Deleted = append(result.Deleted, name)
	}
	return nil
}

// deletionText is the question before anything is deleted.
func deletionText(names []string, lines []reference.Line) string {
	var b strings.Builder
	b.WriteString("The following certificate(s) are selected for deletion:\n\n")
	for _, name := range names {
		fmt.Fprintf(&b, "  * %s\n", name)
	}
	if len(lines) > 0 {
		b.WriteString("\nWARNING: these settings of servers still name their files. A server whose certificate is gone does not start again:\n\n")
		for _, line := range lines {
			fmt.Fprintf(&b, "  %s:%d: %s\n", line.File, line.Number, line.Text)
		}
	} else {
		b.WriteString("\nWARNING: make sure that no server uses them any more: one whose certificate is gone does not start again. " +
			"No settings of nginx, Apache, Postfix, Dovecot or HAProxy in their usual places name them.\n")
	}
	b.WriteString("\nAre you sure you want to delete the above certificate(s)?")
	return b.String()
}

// toDelete is what --cert-name names, or what a person chooses.
func (a *app) toDelete(ctx context.Context) ([]string, error) {
	if a.certName != "" {
		return []string{a.certName}, nil
	}
	lineages, broken, err := a.store.List()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range lineages {
		names = append(names, l.Name)
	}
	for _, b := range broken {
		names = append(names, strings.TrimSuffix(filepath.Base(b.Path), ".conf"))
	}
	if len(names) == 0 {
		return nil, phrase("No existing certificates found.")
	}
	chosen, err := a.ask.Checklist(ctx, ask.Checklist{
		Question: ask.Question{Text: "Which certificate(s) would you like to delete?", Flag: "--cert-name NAME", Force: true},
		Items:    names,
	})
	if err != nil {
		return nil, err
	}
	picked := make([]string, len(chosen))
	for i, n := range chosen {
		picked[i] = names[n-1]
	}
	return picked, nil
}

// deleteOne removes one certificate, and what we know of it.
func (a *app) deleteOne(name string) error {
	err := a.store.Delete(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return a.noSuch(name)
	case errors.Is(err, lineage.ErrShared):
		return withHint(err, "its versions are another certificate's, too: give it an archive_dir of its own in renewal/%s.conf", name)
	case err != nil:
		return a.deleteBroken(name, err)
	}
	a.forgetAll(name)
	a.say("Deleted all files relating to certificate %s.", name)
	return nil
}

// forgetAll removes what we remember of a certificate of that name: another one may get it.
func (a *app) forgetAll(name string) {
	a.done(name)
	if err := a.shared.memory.Forget(name); err != nil {
		a.log.Warn("what is remembered of a certificate stays behind", "name", name, "error", err)
	}
}

// deleteBroken removes a configuration that cannot be used, as certbot does: it does not say which files are its own, so these stay.
func (a *app) deleteBroken(name string, broken error) error {
	path := filepath.Join(a.store.Dirs().Config, "renewal", name+".conf")
	if _, err := a.store.Load(name); err == nil || lineage.CheckName(name) != nil {
		return broken // it is not the configuration
	}
	if err := os.Remove(path); err != nil {
		return errors.Join(broken, err)
	}
	a.forgetAll(name)
	a.log.Warn("a renewal configuration was broken and is gone; if there are files of that name in live/ and archive/, they are still there",
		"path", path, "error", broken)
	a.say("Deleted the renewal configuration of certificate %s.", name)
	return nil
}

// noSuch says that there is no certificate of a name, as certbot does.
func (a *app) noSuch(name string) error {
	return withHint(phrase(fmt.Sprintf("No certificate found with name %s (expected %s).", name, filepath.Join(a.configDir, "renewal", name+".conf"))),
		"%q lists the names", a.name+" certificates")
}

// servers are where programs that use certificates keep their settings.
var servers = []string{"/etc/nginx", "/etc/apache2", "/etc/httpd", "/etc/postfix", "/etc/dovecot", "/etc/haproxy"}

// references finds the settings of servers that name a certificate's files.
func (a *app) references(name string) []reference.Line {
	roots := servers
	for _, key := range []string{"nginx_server_root", "apache_server_root"} {
		if root := a.plugin[key]; root != "" {
			roots = append(roots[:len(roots):len(roots)], root)
		}
	}
	var paths []string
	for _, directory := range []string{"live", "archive"} {
		paths = append(paths, filepath.Join(a.store.Dirs().Config, directory, name))
	}
	lines, complete := reference.Find(roots, paths)
	if !complete {
		a.log.Info("not all settings of servers could be looked at", "certificate", name)
	}
	return lines
}
