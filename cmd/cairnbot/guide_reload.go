package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/ask"
)

// noReload is the answer of somebody whose server finds new certificates by itself, or who sees to it otherwise.
const noReload = "none"

// askReload asks what has a server read a new certificate: most do so only when they are told, and go on with one that has expired.
func (a *app) askReload(ctx context.Context) error {
	if a.given["deploy-hook"] {
		return nil
	}
	usual := guessReload("/run")
	if usual == "" {
		usual = noReload
	}
	command, err := a.ask.Input(ctx, ask.Input{
		Question: ask.Question{
			Text: "Which command has your server read a new certificate? It is run as this user, now and after each renewal. Such as \"systemctl reload nginx\", or \"" + noReload + "\".",
			Flag: "--deploy-hook COMMAND",
		},
		Usual: usual, Check: checkReload,
	})
	if err != nil || command == "" {
		return err
	}
	a.deployHook = command
	a.set("deploy-hook")
	return nil
}

// checkReload takes a command whose program is there, or none.
func checkReload(command string) (string, error) {
	if strings.EqualFold(command, noReload) {
		return "", nil
	}
	words := strings.Fields(command)
	if len(words) == 0 {
		return "", errors.New("a command is needed here, or \"" + noReload + "\"")
	}
	if program := strings.Trim(words[0], `'"`); !found(program) {
		return "", fmt.Errorf("there is no program %q", program)
	}
	return command, nil
}

// guessReload finds a web server that runs, by what it leaves below run, and says how it is told; "" if there is none.
func guessReload(run string) string {
	exists := func(path string) bool {
		found, err := filepath.Glob(filepath.Join(run, path))
		return err == nil && len(found) > 0
	}
	for _, server := range []struct{ file, unit, without string }{
		{"nginx.pid", "nginx", "nginx -s reload"},
		{"apache2/apache2.pid", "apache2", "apachectl graceful"}, {"httpd/httpd.pid", "httpd", "apachectl graceful"},
		{"haproxy.pid", "haproxy", ""}, {"lighttpd.pid", "lighttpd", ""},
	} {
		switch {
		case !exists(server.file):
		case exists("systemd/system"): // sd_booted(3)
			return "systemctl reload " + server.unit
		case server.without != "":
			return server.without
		}
	}
	return ""
}
