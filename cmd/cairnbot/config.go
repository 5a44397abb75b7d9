package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/cairn-ca/cairn/internal/bot/command"
)

// usualConfig lists the files that are always read; what -c names is read after them, and wins. The first does not follow
// --config-dir, as it does not with certbot.
func usualConfig(getenv func(string) string) []string {
	files := []string{defaultConfigFile}
	home := getenv("XDG_CONFIG_HOME")
	if home == "" && getenv("HOME") != "" {
		home = filepath.Join(getenv("HOME"), ".config")
	}
	if home != "" {
		files = append(files, filepath.Join(home, "letsencrypt", "cli.ini"))
	}
	return files
}

// configFiles reads what stands behind a command line.
func (p process) configFiles(words *command.Language[options], line command.Line) ([][]command.Setting, error) {
	paths, own := slices.Clone(p.config), len(p.config)
	for _, setting := range line.Settings {
		if setting.Name == "config" {
			paths = append(paths[:own], setting.Value) // the last one counts
		}
	}
	var files [][]command.Setting
	for i, path := range paths {
		named := i >= own
		settings, err := readConfig(words, path)
		switch {
		case named && errors.Is(err, fs.ErrNotExist):
			return nil, usagef("Unable to open config file: %s. Error: %v", path, errors.Unwrap(err))
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		}
		if line.Verb == "renew" {
			settings = withoutNames(settings)
		}
		files = append(files, settings)
	}
	return files, nil
}

func readConfig(words *command.Language[options], path string) ([]command.Setting, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil, withHint(fmt.Errorf("reading the defaults of options: %w", err), "run it as a user who may read that file, or name another with -c")
	}
	if err != nil {
		return nil, err
	}
	settings, err := words.ReadConfig(path, text)
	if err != nil {
		return nil, err
	}
	for _, setting := range settings {
		if setting.Name == "config" {
			return nil, usagef("%s: a file of defaults cannot name another one", setting.Where)
		}
	}
	return settings, nil
}

// withoutNames drops the names of a file: they are for new certificates, and renew goes by those that exist.
func withoutNames(settings []command.Setting) []command.Setting {
	var rest []command.Setting
	for _, setting := range settings {
		if setting.Name != "domains" && setting.Name != "ip-address" {
			rest = append(rest, setting)
		}
	}
	return rest
}
