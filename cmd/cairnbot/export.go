package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/cairn-ca/cairn/internal/bot/export"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// Keys of our own section in renewal configurations for files in other forms.
const (
	ownPKCS12   = "export_pkcs12"
	ownPassword = "export_pkcs12_password_file"
	ownCombined = "export_combined"
)

// noFile is what an option says to have a file written no more.
const noFile = "none"

// settleExports lays what was given over what a certificate has.
func (o *options) settleExports(conf *lineage.Conf) map[string]string {
	own := make(map[string]string)
	for key, option := range map[string]struct{ name, value string }{
		ownPKCS12: {"pkcs12", o.pkcs12}, ownPassword: {"pkcs12-password-file", o.pkcs12Password}, ownCombined: {"combined", o.combined},
		lineage.OwnKeyMode: {"key-mode", o.keyMode}, lineage.OwnKeyGroup: {"key-group", o.keyGroup},
	} {
		if conf != nil {
			own[key] = conf.Own(key)
		}
		if o.given[option.name] {
			own[key] = option.value
		}
		if own[key] == noFile {
			own[key] = ""
		}
	}
	return own
}

// checkExports refuses what could not be written, before a certificate is asked for.
func (o *options) checkExports(string) error {
	for _, path := range []*string{&o.pkcs12, &o.pkcs12Password, &o.combined} {
		if *path == "" || *path == noFile {
			continue
		}
		absolute, err := filepath.Abs(*path) // renewals start elsewhere
		if err != nil {
			return err
		}
		*path = absolute
		if info, err := os.Stat(filepath.Dir(absolute)); err != nil || !info.IsDir() {
			return withHint(fmt.Errorf("the directory of %s does not exist", absolute), "make it first: mkdir -p %s", filepath.Dir(absolute))
		}
	}
	if o.keyMode != "" && o.keyMode != noFile {
		if _, err := lineage.ParseKeyMode(o.keyMode); err != nil {
			return usagef("argument --key-mode: %v", err)
		}
	}
	if o.keyGroup != "" && o.keyGroup != noFile {
		if _, err := lineage.LookupGroup(o.keyGroup); err != nil {
			return withHint(err, "--key-group takes the name of a group of this machine, or its number")
		}
	}
	if o.pkcs12 != "" && o.pkcs12 != noFile && !o.given["pkcs12-password-file"] {
		return missing("--pkcs12-password-file FILE", "the password of the PKCS#12 file, which is the first line of that file")
	}
	return nil
}

// exportConfig is what a certificate's configuration says about files in other forms.
func exportConfig(l *lineage.Lineage) (export.Config, error) {
	c := export.Config{PKCS12: l.Conf.Own(ownPKCS12), PasswordFile: l.Conf.Own(ownPassword), Combined: l.Conf.Own(ownCombined), Group: -1}
	var err error
	if text := l.Conf.Own(lineage.OwnKeyMode); text != "" {
		if c.Mode, err = lineage.ParseKeyMode(text); err != nil {
			return c, err
		}
	}
	if name := l.Conf.Own(lineage.OwnKeyGroup); name != "" {
		c.Group, err = lineage.LookupGroup(name)
	}
	return c, err
}

// exportAll writes the files of a certificate that is live, and gives others the access to its key that they are to have. Before the
// deploy-hooks: they tell servers to read these files.
func (a *app) exportAll(l *lineage.Lineage) error {
	if a.rehearse {
		return nil // the files are outside of its copies
	}
	if err := l.ShareKeys(); err != nil {
		return err
	}
	c, err := exportConfig(l)
	if err != nil || c.PKCS12 == "" && c.Combined == "" {
		return err
	}
	if info, err := os.Stat(c.PasswordFile); err == nil && info.Mode().Perm()&0o004 != 0 {
		a.log.Warn("everybody can read the password of a PKCS#12 file", "file", c.PasswordFile, "hint", "chmod o-r "+c.PasswordFile)
	}
	m, err := l.Material(l.Version())
	if err != nil {
		return err
	}
	return export.Write(m, c)
}

// exported is the result of export.
type exported struct {
	Name     string `json:"name"`
	PKCS12   string `json:"pkcs12,omitempty"`   // paths
	Combined string `json:"combined,omitempty"` // PEM: the key, and the certificate with its chain
	KeyMode  string `json:"key_mode,omitempty"`
	KeyGroup string `json:"key_group,omitempty"`
}

// export writes a certificate in other forms, now and after each renewal.
func (a *app) export(ctx context.Context) error {
	l, err := a.chooseLineage(ctx, "Which certificate would you like to export?")
	if err != nil {
		return err
	}
	own := a.settleExports(l.Conf)
	given := slices.ContainsFunc([]string{"pkcs12", "pkcs12-password-file", "combined", "key-mode", "key-group"}, func(name string) bool { return a.given[name] })
	if !given && own[ownPKCS12] == "" && own[ownCombined] == "" {
		return missing("--pkcs12 FILE or --combined FILE", "where the certificate and its key are to be written")
	}
	for _, key := range slices.Sorted(maps.Keys(own)) {
		if err := l.Conf.SetOwn(key, own[key]); err != nil {
			return err
		}
	}
	// Written down first: what is there after a crash is kept up to date.
	if err := l.Save(); err != nil {
		return err
	}
	if err := a.exportAll(l); err != nil {
		return err
	}
	a.result = exported{Name: l.Name, PKCS12: own[ownPKCS12], Combined: own[ownCombined], KeyMode: own[lineage.OwnKeyMode], KeyGroup: own[lineage.OwnKeyGroup]}
	for _, path := range []string{own[ownPKCS12], own[ownCombined]} {
		if path != "" {
			a.say("%s has the certificate %s and its key. It is written anew after each renewal.", path, l.Name)
		}
	}
	return nil
}
