package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// hooks are an operator's commands around renewals, as certbot runs them: scripts
// in renewal-hooks/ and the commands of the options, which go to a shell. What
// they fail at is a warning and no more.
type hooks struct {
	say       func(format string, args ...any)
	log       *slog.Logger
	directory string // config-dir/renewal-hooks
	options   *options

	ran     []string // pre-hooks that have run; each runs once
	post    []string // those that are to run at the end, each once
	renewed []string // names, over all lineages
	failed  []string
}

// sbin is where administrators' programs are, also where PATH does not say so.
var sbin = []string{"/usr/sbin", "/usr/local/bin", "/usr/local/sbin"}

// check refuses a command of the command line that cannot be found, before anything is done.
// One of the configuration that has vanished since is a warning when it is run, and no reason not to renew.
func (h *hooks) check(p *lineage.Params) error {
	if h.options.noHookCheck {
		return nil
	}
	for name, command := range map[string]string{"pre-hook": p.PreHook, "post-hook": p.PostHook, "deploy-hook": p.DeployHook} {
		words := strings.Fields(command)
		if len(words) == 0 || !h.options.given[name] {
			continue
		}
		program := strings.Trim(words[0], `'"`)
		_, err := exec.LookPath(program)
		for _, dir := range sbin {
			if err != nil && !strings.Contains(program, "/") {
				_, err = exec.LookPath(filepath.Join(dir, program))
			}
		}
		if err != nil {
			return withHint(phrase(fmt.Sprintf("Unable to find %s command %s in the PATH.", name, program)),
				"give its whole path, or --disable-hook-validation if it will be there later")
		}
	}
	return nil
}

// before runs the pre-hooks, and notes the post-hooks for the end.
func (h *hooks) before(ctx context.Context, p *lineage.Params) {
	for _, command := range append(h.scripts("pre"), words(p.PreHook)...) {
		if !slices.Contains(h.ran, command) {
			h.ran = append(h.ran, command)
			h.run(ctx, "pre-hook", command, nil)
		}
	}
	for _, command := range append(h.scripts("post"), words(p.PostHook)...) {
		if !slices.Contains(h.post, command) {
			h.post = append(h.post, command)
		}
	}
}

// deployed runs the deploy-hooks of one lineage, also after an interrupt: its certificate is live, and nobody else would say so.
func (h *hooks) deployed(ctx context.Context, l *lineage.Lineage, names []string, p *lineage.Params) {
	h.renewed = append(h.renewed, names...)
	scripts := h.scripts("deploy")
	if h.options.rehearse && !h.options.runDeployHooks {
		for _, command := range append(scripts, words(p.DeployHook)...) {
			h.say("Rehearsal: skipping deploy hook command: %s", command)
		}
		return
	}
	commands := scripts
	if p.DeployHook != "" && !slices.Contains(scripts, p.DeployHook) {
		commands = append(commands, p.DeployHook)
	}
	for _, command := range commands {
		h.run(context.WithoutCancel(ctx), "deploy-hook", command, []string{
			"RENEWED_LINEAGE=" + filepath.Dir(l.Path(lineage.Fullchain)),
			"RENEWED_DOMAINS=" + strings.Join(names, " "),
		})
	}
}

// simulated runs the deploy-hooks after a dry run, if --run-deploy-hooks asks for that. They are told of the certificate
// that is live; without one there is nothing that they could deploy.
func (h *hooks) simulated(ctx context.Context, target *lineage.Lineage, names []string, p *lineage.Params) {
	h.renewed = append(h.renewed, names...)
	switch {
	case !h.options.runDeployHooks:
		for _, command := range append(h.scripts("deploy"), words(p.DeployHook)...) {
			h.say("Dry run: skipping deploy hook command: %s", command)
		}
	case target != nil:
		h.deployed(ctx, target, nil, p)
	}
}

// maxNames keeps the environment of a post-hook below what systems allow.
const maxNames = 16000

// finish runs the post-hooks, also after a failure or an interrupt: they start what the pre-hooks stopped.
func (h *hooks) finish(ctx context.Context) {
	join := func(names []string) string { return fmt.Sprintf("%.*s", maxNames, strings.Join(names, " ")) }
	for _, command := range h.post {
		h.run(context.WithoutCancel(ctx), "post-hook", command,
			[]string{"RENEWED_DOMAINS=" + join(h.renewed), "FAILED_DOMAINS=" + join(h.failed)})
	}
}

// words is command as a list of one, or of none.
func words(command string) []string {
	if command == "" {
		return nil
	}
	return []string{command}
}

// scripts lists the executable files of a hook directory, in the order of their names.
func (h *hooks) scripts(kind string) []string {
	if h.options.noDirectoryHooks {
		return nil
	}
	directory := filepath.Join(h.directory, kind)
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil // none there
	}
	var list []string
	for _, entry := range entries {
		path := filepath.Join(directory, entry.Name())
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && !strings.HasSuffix(path, "~") {
			list = append(list, path)
		}
	}
	return list
}

// run gives a command to the shell and shows what it says. Nothing of a peer's is in
// it: the command is the operator's, and names go through the environment.
func (h *hooks) run(ctx context.Context, name, command string, environment []string) {
	h.log.Info("running a hook", "hook", name, "command", command)
	var stdout, stderr bytes.Buffer
	shell := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	shell.Env = append(shell.Environ(), environment...)
	shell.Stdout, shell.Stderr = &stdout, &stderr
	shell.WaitDelay = 5 * time.Second // after an interrupt, for what the shell has started
	err := shell.Run()
	if stdout.Len() > 0 {
		h.say("Hook '%s' ran with output:\n%s", name, indent(stdout.String()))
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		h.log.Warn(fmt.Sprintf("Hook '%s' reported error code %d", name, exit.ExitCode()))
	case err != nil:
		h.log.Warn("a hook could not be run", "hook", name, "error", err)
	}
	if stderr.Len() > 0 {
		h.log.Warn(fmt.Sprintf("Hook '%s' ran with error output:\n%s", name, indent(stderr.String())))
	}
}

func indent(text string) string {
	return " " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n ")
}
