package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/schedule"
)

// scheduleJSON is the result of schedule.
type scheduleJSON struct {
	Kind    schedule.Kind  `json:"kind,omitempty"`
	Files   []scheduleFile `json:"files"` // that are written, or would be
	Removed []string       `json:"removed,omitempty"`
	Others  []string       `json:"others,omitempty"` // what starts a certbot already
}

type scheduleFile struct {
	Path    string `json:"path"`
	Content string `json:"content"`
}

// schedule has renewals happen by themselves.
func (a *app) schedule(ctx context.Context) error {
	if a.dropSchedule {
		return a.unschedule(ctx)
	}
	c, err := a.scheduleConfig()
	if err != nil {
		return err
	}
	files, err := schedule.Files(c)
	if err != nil {
		return err
	}
	result := scheduleJSON{Kind: c.Kind, Files: []scheduleFile{}, Others: schedule.Others(a.root)}
	for _, f := range files {
		result.Files = append(result.Files, scheduleFile(f))
	}
	a.result = result
	if a.printSchedule {
		for _, f := range files {
			a.say("# %s\n%s", f.Path, f.Content)
		}
		return nil
	}
	if err := schedule.Write(a.root, files); err != nil {
		if errors.Is(err, schedule.ErrForeign) {
			return withHint(err, "look at it; --print shows what we would write")
		}
		return err
	}
	for _, f := range files {
		a.say("Written: %s", filepath.Join(a.root, f.Path))
	}
	if err := a.enable(ctx, c.Kind); err != nil {
		return err
	}
	a.sayScheduled(c, result.Others)
	return nil
}

// scheduleConfig works out what is to be started.
func (a *app) scheduleConfig() (schedule.Config, error) {
	c := schedule.Config{Kind: schedule.Detect(a.root), Directories: []string{a.configDir, a.workDir, a.logsDir}, Ports: []int{a.httpPort}}
	chosen := 0
	for kind, is := range map[schedule.Kind]bool{schedule.Daemon: a.asDaemon && !a.asSockets, schedule.Sockets: a.asSockets, schedule.Cron: a.asCron} {
		if is {
			c.Kind, chosen = kind, chosen+1
		}
	}
	if chosen > 1 {
		return c, withHint(errors.New("--cron and --daemon or --sockets exclude each other"), "choose one of them")
	}
	if a.root != "" && chosen == 0 && !a.printSchedule {
		c.Kind = schedule.Timer // of an image, whether systemd runs in it cannot be seen
	}
	if c.Kind == schedule.Sockets && slices.Contains(a.preferredChallenges, "tls-alpn-01") {
		c.Ports = append(c.Ports, a.tlsPort)
	}
	c.User, c.Group, _ = strings.Cut(a.runAs, ":")
	if c.Group == "" {
		c.Group = c.User
	}
	for _, dir := range []struct{ option, path, usual string }{
		{"--config-dir", a.configDir, defaultConfigDir}, {"--work-dir", a.workDir, defaultWorkDir}, {"--logs-dir", a.logsDir, defaultLogsDir},
	} {
		if dir.path != dir.usual {
			c.Arguments = append(c.Arguments, dir.option, dir.path)
		}
	}
	var err error
	if c.Program, err = program(); err != nil {
		return c, err
	}
	if c.Writable, err = a.writable(); err != nil {
		return c, err
	}
	minute, err := rand.Int(rand.Reader, big.NewInt(60))
	if err == nil {
		c.Minute = int(minute.Int64())
	}
	return c, err
}

// program is where this program is, in the end: a link to it may be somebody else's tomorrow.
func program() (string, error) {
	path, err := os.Executable()
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "", fmt.Errorf("finding out where this program is: %w", err)
	}
	return path, nil
}

// writable lists the webroots of the certificates that there are, where their exports go, and what was asked for.
func (a *app) writable() ([]string, error) {
	var paths []string
	add := func(path string) {
		if path != "" && path != "." && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	lineages, _, err := a.store.List()
	if err != nil {
		return nil, err
	}
	for _, l := range lineages {
		params, err := l.Conf.Params()
		if err != nil {
			continue // renewals leave it out, too
		}
		for _, path := range params.WebrootPath {
			add(path)
		}
		for _, w := range params.WebrootMap {
			add(w.Path)
		}
		for _, key := range []string{ownPKCS12, ownCombined} {
			add(filepath.Dir(l.Conf.Own(key)))
		}
	}
	if a.metricsFile != "" {
		add(filepath.Dir(a.metricsFile))
	}
	for _, path := range a.writePaths {
		path, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		add(path)
	}
	return paths, nil
}

// enable has systemd start what was written. With --root it is enabled for the next start of that system alone.
func (a *app) enable(ctx context.Context, kind schedule.Kind) error {
	unit := schedule.Unit(kind)
	if unit == "" {
		return nil
	}
	if a.root != "" {
		return a.systemctl(ctx, "--root="+a.root, "enable", unit)
	}
	var steps [][]string
	if kind == schedule.Sockets {
		steps = append(steps, []string{"start", "systemd-sysusers.service"}, []string{"start", "systemd-tmpfiles-setup.service"})
	}
	for _, step := range append(steps, []string{"daemon-reload"}, []string{"enable", "--now", unit}) {
		if err := a.systemctl(ctx, step...); err != nil {
			return err
		}
	}
	return nil
}

// systemctl tells systemd something.
func (a *app) systemctl(ctx context.Context, args ...string) error {
	output, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	a.log.Debug("systemctl", "args", args, "output", string(output), "error", err)
	if err != nil {
		return withHint(fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, oneLine(strings.TrimSpace(string(output)))),
			"the files are written; run it yourself when systemd can be reached")
	}
	return nil
}

// sayScheduled says what happens from now on, and what else would.
func (a *app) sayScheduled(c schedule.Config, others []string) {
	switch c.Kind {
	case schedule.Timer:
		a.say("Renewals are started twice a day by the timer %s.", schedule.Unit(c.Kind))
	case schedule.Cron:
		a.say("Renewals are started twice a day by cron.")
	case schedule.Daemon:
		a.say("The service %s renews certificates when they are due.", schedule.Unit(c.Kind))
	case schedule.Sockets:
		a.say("The service cairnbot.service renews certificates when they are due, as the user %s. Keys are readable by the group %s.", c.User, c.Group)
	}
	if c.Kind != schedule.Cron {
		a.say("It can write in these directories alone: %s.", strings.Join(slices.Concat(c.Directories, c.Writable), ", "))
		a.say("Hooks are bound to that, too: name more directories with --write-path if they need them.")
	}
	if len(others) > 0 {
		a.log.Warn("a certbot is started on this machine, too, which renews the same certificates: one of the two is enough",
			"by", strings.Join(others, ", "))
		if name := filepath.Base(others[0]); strings.HasSuffix(name, ".timer") {
			fmt.Fprintf(a.err, "%s: hint: systemctl disable --now %s\n", a.name, name)
		} else {
			fmt.Fprintf(a.err, "%s: hint: take the line for certbot out of %s\n", a.name, others[0])
		}
	}
}

// unschedule takes away what schedule has written.
func (a *app) unschedule(ctx context.Context) error {
	for _, unit := range schedule.Units() {
		if _, err := os.Stat(filepath.Join(a.root, "/etc/systemd/system", unit)); err != nil {
			continue
		}
		args := []string{"disable", "--now", unit}
		if a.root != "" {
			args = []string{"--root=" + a.root, "disable", unit}
		}
		if err := a.systemctl(ctx, args...); err != nil {
			a.log.Warn("a unit could not be disabled", "unit", unit, "error", err)
		}
	}
	removed, err := schedule.Remove(a.root)
	a.result = scheduleJSON{Files: []scheduleFile{}, Removed: removed}
	for _, path := range removed {
		a.say("Removed: %s", filepath.Join(a.root, path))
	}
	if err == nil && len(removed) == 0 {
		a.say("There was nothing to remove.")
	}
	return err
}
