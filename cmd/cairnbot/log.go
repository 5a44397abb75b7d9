package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// logName is the file's name, and the older ones' with a number behind it: certbot's, for the programs that rotate and read it.
const logName = "letsencrypt.log"

// openLog opens the log of a run. Those of up to backups runs before are kept, as certbot keeps
// them; with 0 all runs are in one file. The directory is for its owner alone, and so protects the files.
func openLog(directory string, backups int) (*os.File, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, err
	}
	if backups > 0 {
		if err := rotate(directory, backups); err != nil {
			return nil, err
		}
	}
	return appendTo(filepath.Join(directory, logName))
}

// appendTo opens a file to write at its end. The directory may be somebody else's, such as of the user that a service runs as:
// root does not write to where his links lead.
func appendTo(path string) (*os.File, error) {
	const tries = 10 // other runs may rename it at any time
	for range tries {
		if there, err := os.Lstat(path); err == nil && !mayWriteThrough(there) {
			return nil, fmt.Errorf("%s is a link that somebody else has made: remove it", path)
		}
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			return nil, err
		}
		opened, err := file.Stat()
		if there, lookErr := os.Lstat(path); err == nil && lookErr == nil &&
			(os.SameFile(there, opened) || there.Mode()&fs.ModeSymlink != 0 && mayWriteThrough(there)) {
			return file, nil
		}
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s is replaced again and again", path)
}

// rotate gives each log the next number, the oldest first, so that a crash here loses no log but the one that is to go.
func rotate(directory string, backups int) error {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return err
	}
	var numbers []int
	for _, entry := range entries {
		if entry.Name() == logName {
			numbers = append(numbers, 0)
		}
		text, ok := strings.CutPrefix(entry.Name(), logName+".")
		if n, err := strconv.Atoi(text); ok && err == nil && n > 0 && n < backups && strconv.Itoa(n) == text {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for _, n := range slices.Backward(numbers) {
		err := os.Rename(filepath.Join(directory, numbered(n)), filepath.Join(directory, numbered(n+1)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // another run may be at it as well
			return err
		}
	}
	return nil
}

func numbered(n int) string {
	if n == 0 {
		return logName
	}
	return logName + "." + strconv.Itoa(n)
}

// newLogger writes everything to file and, as -v asks for it, some of it to the
// terminal: warnings always, progress with -v, every exchange with -vv.
func newLogger(name string, file, terminal io.Writer, o *options) *slog.Logger {
	level := slog.LevelWarn
	switch {
	case o.quiet:
		level = slog.LevelError
	case o.verbose == 1:
		level = slog.LevelInfo
	case o.verbose > 1:
		level = slog.LevelDebug
	}
	return slog.New(tee{&records{w: &counter{w: file}}, &plain{name: name, w: terminal, level: level}})
}

// logOnly writes into the file alone: a person is told otherwise.
func logOnly(log *slog.Logger) *slog.Logger {
	if both, ok := log.Handler().(tee); ok {
		return slog.New(both.file)
	}
	return log
}

// maxRun is how much one run writes into the log before it leaves out all but warnings and
// errors: a CA decides how many exchanges there are, and must not fill the disk.
const maxRun = 8 << 20

// counter counts what is written.
type counter struct {
	w io.Writer
	n atomic.Int64
}

func (c *counter) Write(text []byte) (int, error) {
	n, err := c.w.Write(text)
	c.n.Add(int64(n))
	return n, err
}

// tee hands each record to both handlers.
type tee struct{ file, terminal slog.Handler }

func (t tee) Enabled(context.Context, slog.Level) bool { return true }

func (t tee) Handle(ctx context.Context, r slog.Record) error {
	err := t.file.Handle(ctx, r)
	if t.terminal.Enabled(ctx, r.Level) {
		err = errors.Join(err, t.terminal.Handle(ctx, r))
	}
	return err
}

func (t tee) WithAttrs(attrs []slog.Attr) slog.Handler {
	return tee{t.file.WithAttrs(attrs), t.terminal.WithAttrs(attrs)}
}

func (t tee) WithGroup(string) slog.Handler { return t } // no group is used

// records writes the file, a line for each record, in the form of certbot's (Python's logging):
//
//	2026-11-23 17:57:20,123:DEBUG:cairnbot:message, key: value
type records struct {
	w     *counter
	attrs []slog.Attr
}

// logTime is local time, as in every log of its kind.
const logTime = "2006-01-02 15:04:05,000"

func (h *records) Enabled(context.Context, slog.Level) bool { return true }

func (h *records) Handle(_ context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn && h.w.n.Load() >= maxRun {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%s:%s:%s", r.Time.Format(logTime), levelName(r.Level), ownName, onOneLine(r.Message))
	write := func(a slog.Attr) bool {
		fmt.Fprintf(&b, ", %s: %s", a.Key, onOneLine(fmt.Sprint(a.Value)))
		return true
	}
	for _, a := range h.attrs {
		write(a)
	}
	r.Attrs(write)
	b.WriteByte('\n')
	_, err := io.WriteString(h.w, b.String()) // at once: several renewals write
	return err
}

func (h *records) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &records{w: h.w, attrs: append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

func (h *records) WithGroup(string) slog.Handler { return h } // no group is used

// levelName is Python's name of a level.
func levelName(level slog.Level) string {
	if level == slog.LevelWarn {
		return "WARNING"
	}
	return level.String()
}

// onOneLine keeps what a CA or a program says from looking like further records.
func onOneLine(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return text
	}
	quoted := strconv.Quote(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// plain writes records as a person at a terminal likes to read them.
type plain struct {
	name  string // what the program was called as
	w     io.Writer
	level slog.Level
	attrs []slog.Attr
}

func (p *plain) Enabled(_ context.Context, level slog.Level) bool { return level >= p.level }

func (p *plain) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s: %s", p.name, strings.ToLower(levelName(r.Level)), r.Message)
	write := func(a slog.Attr) bool {
		fmt.Fprintf(&b, ", %s: %v", a.Key, a.Value)
		return true
	}
	for _, a := range p.attrs {
		write(a)
	}
	r.Attrs(write)
	_, err := fmt.Fprintln(p.w, b.String())
	return err
}

func (p *plain) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &plain{name: p.name, w: p.w, level: p.level, attrs: append(p.attrs[:len(p.attrs):len(p.attrs)], attrs...)}
}

func (p *plain) WithGroup(string) slog.Handler { return p } // no group is used

// logStart notes what was asked for, without what is secret.
func (a *app) logStart(now time.Time) {
	a.log.Debug("certbot version: "+lineage.CertbotVersion, ownName, version, "verb", a.verb, "zone", now.Format("-0700"))
	a.log.Debug("Arguments: " + strings.Join(a.said, " "))
	for _, name := range a.deprecated {
		a.log.Warn("an option is no longer used, and changes nothing", "option", "--"+name)
	}
}
