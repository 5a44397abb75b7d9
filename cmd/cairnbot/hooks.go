package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/cairn-ca/cairn/internal/bot/hook"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// hooks are an operator's commands around renewals, as certbot runs them: scripts
// in renewal-hooks/ and the commands of the options, which go to a shell. What
// they fail at is a warning and no more, unless --fail-on-hook-error asks for more.
type hooks struct {
	say       func(format string, args ...any)
	log       *slog.Logger
	directory string // config-dir/renewal-hooks
	options   *options
	runner    *hook.Runner

	place int // of the lineage that they are for, among those of a round
	*hookRecord
}

// hookRecord is what hooks have done for all renewals of a run, which may come at once.
type hookRecord struct {
	// mu is held while hooks run: they are used to be alone.
	mu       sync.Mutex
	ran      []string // pre-hooks that have run; each runs once
	post     []string // those that are to run at the end, each once
	renewed  []placed // names, over all lineages
	failed   []placed
	told     []string // the variables of the last deploy-hook: certbot leaves them to those that come later
	troubles []string // what has failed, in words
}

// placed are names, with the place of their lineage among all.
type placed struct {
	place int
	names []string
}

// inOrder lists names as if one lineage had come after the other.
func inOrder(all []placed) []string {
	slices.SortStableFunc(all, func(a, b placed) int { return cmp.Compare(a.place, b.place) })
	var names []string
	for _, p := range all {
		names = append(names, p.names...)
	}
	return names
}

// newHooks prepares the hooks of a run.
func (a *app) newHooks() *hooks {
	return &hooks{
		say: a.say, log: a.log, directory: cmp.Or(a.hooksDir, filepath.Join(a.configDir, "renewal-hooks")), options: a.options, hookRecord: new(hookRecord),
		runner: hook.NewRunner(hook.Config{Environment: withSbin(a.environ), Timeout: a.hookTimeout}),
	}
}

// heardBy are the same hooks, of which somebody else is told.
func (h *hooks) heardBy(say func(format string, args ...any), log *slog.Logger, place int) *hooks {
	other := *h
	other.say, other.log, other.place = say, log, place
	return &other
}

// missed notes names that there is no new certificate for.
func (h *hooks) missed(names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = append(h.failed, placed{h.place, names})
}

// verdict is the error that failed hooks come to, where they are to be one (--fail-on-hook-error).
func (h *hooks) verdict() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.troubles) == 0 || !h.options.failOnHookError {
		return nil
	}
	return withHint(fmt.Errorf("not all hooks succeeded (--fail-on-hook-error): %s", strings.Join(h.troubles, "; ")),
		"certificates are in place; a deploy-hook that failed is run again by the next \"renew\"")
}

// sbin is where administrators' programs are, also where PATH does not say so.
var sbin = []string{"/usr/sbin", "/usr/local/bin", "/usr/local/sbin"}

// withSbin lets hooks find programs of administrators, where PATH leaves their directories out.
func withSbin(environment []string) []string {
	result := slices.Clone(environment)
	for i, variable := range result {
		path, found := strings.CutPrefix(variable, "PATH=")
		if !found {
			continue
		}
		for _, dir := range sbin {
			if !slices.Contains(filepath.SplitList(path), dir) {
				path += string(filepath.ListSeparator) + dir
			}
		}
		result[i] = "PATH=" + path
	}
	return result
}

// check refuses a command of the command line that cannot be found, before anything is done.
// One of the configuration that has vanished since is a warning when it is run, and no reason not to renew.
func (h *hooks) check(p *lineage.Params) error {
	if h.options.noHookCheck {
		return nil
	}
	for _, row := range []struct{ name, kind, command string }{
		{"pre-hook", "pre-hook", p.PreHook}, {"post-hook", "post-hook", p.PostHook}, {"deploy-hook", "deploy-hook", p.DeployHook},
		{"manual-auth-hook", "manual-auth-hook", p.Plugin["manual_auth_hook"]},
		{"manual-cleanup-hook", "manual-cleanup-hook", p.Plugin["manual_cleanup_hook"]},
	} {
		words := strings.Fields(row.command)
		if len(words) == 0 || !h.options.given[row.name] {
			continue
		}
		if program := strings.Trim(words[0], `'"`); !found(program) {
			return withHint(phrase(fmt.Sprintf("Unable to find %s command %s in the PATH.", row.kind, program)),
				"give its whole path, or --disable-hook-validation if it will be there later")
		}
	}
	return nil
}

// found reports whether a program is where the shell, or an administrator, would find it.
func found(program string) bool {
	_, err := exec.LookPath(program)
	for _, dir := range sbin {
		if err != nil && !strings.Contains(program, "/") {
			_, err = exec.LookPath(filepath.Join(dir, program))
		}
	}
	return err == nil
}

// before runs the pre-hooks, and notes the post-hooks for the end.
func (h *hooks) before(ctx context.Context, p *lineage.Params) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, command := range append(h.scripts("pre"), words(p.PreHook)...) {
		if !slices.Contains(h.ran, command) {
			h.ran = append(h.ran, command)
			_ = h.run(ctx, "pre-hook", command) // a warning
		}
	}
	for _, command := range append(h.scripts("post"), words(p.PostHook)...) {
		if !slices.Contains(h.post, command) {
			h.post = append(h.post, command)
		}
	}
}

// deployed runs the deploy-hooks of one lineage but those in skip, also after an interrupt: its certificate is live, and nobody
// else would say so. It tells which have succeeded and which have not.
func (h *hooks) deployed(ctx context.Context, l *lineage.Lineage, names []string, p *lineage.Params, skip []string) (done, failed []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.renewed = append(h.renewed, placed{h.place, names})
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
	h.told = []string{"RENEWED_LINEAGE=" + filepath.Dir(l.Path(lineage.Fullchain)), "RENEWED_DOMAINS=" + strings.Join(names, " ")}
	for _, command := range commands {
		if slices.Contains(skip, command) {
			continue
		}
		if err := h.run(ctx, "deploy-hook", command); err != nil {
			failed = append(failed, command)
			continue
		}
		done = append(done, command)
	}
	return done, failed
}

// simulated runs the deploy-hooks after a dry run, if --run-deploy-hooks asks for that. They are told of the certificate
// that is live; without one there is nothing that they could deploy.
func (h *hooks) simulated(ctx context.Context, target *lineage.Lineage, names []string, p *lineage.Params) {
	if h.options.runDeployHooks && target != nil {
		_, _ = h.deployed(ctx, target, names, p, nil) // failures are warnings
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.renewed = append(h.renewed, placed{h.place, names})
	if !h.options.runDeployHooks {
		for _, command := range append(h.scripts("deploy"), words(p.DeployHook)...) {
			h.say("Dry run: skipping deploy hook command: %s", command)
		}
	}
}

// maxNames keeps the environment of a post-hook below what systems allow.
const maxNames = 16000

// finish runs the post-hooks, also after a failure or an interrupt: they start what the pre-hooks stopped.
func (h *hooks) finish(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	join := func(names []string) string { return fmt.Sprintf("%.*s", maxNames, strings.Join(names, " ")) }
	for _, command := range h.post {
		_ = h.run(ctx, "post-hook", command, "RENEWED_DOMAINS="+join(inOrder(h.renewed)), "FAILED_DOMAINS="+join(inOrder(h.failed))) // a warning
	}
	h.post = nil
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
func (h *hooks) run(ctx context.Context, name, command string, variables ...string) error {
	h.log.Info("running a hook", "hook", name, "command", command)
	result := h.runner.Run(ctx, command, append(slices.Clone(h.told), variables...)...)
	if result.Stdout != "" {
		h.say("Hook '%s' ran with output:\n%s", name, hook.Indent(result.Stdout))
	}
	err := result.Err
	switch {
	case result.Code > 0:
		//lint:ignore ST1005 the words are certbot's
		err = fmt.Errorf("Hook '%s' reported error code %d", name, result.Code)
		h.log.Warn(err.Error())
	case errors.Is(err, hook.ErrTimeout):
		h.log.Warn("a hook took too long", "hook", name, "error", err)
	case err != nil:
		h.log.Warn("a hook could not be run to its end", "hook", name, "error", err)
	}
	if result.Stderr != "" {
		h.log.Warn(fmt.Sprintf("Hook '%s' ran with error output:\n%s", name, hook.Indent(result.Stderr)))
	}
	if err != nil {
		h.troubles = append(h.troubles, fmt.Sprintf("%s (%s)", oneLine(err.Error()), command))
	}
	return err
}
