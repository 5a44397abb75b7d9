package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// maxLog is when a new log file is begun. One older file is kept.
const maxLog = 1 << 20

// openLog opens logs-dir/letsencrypt.log for appending. The directory is for its owner alone.
func openLog(directory string) (*os.File, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(directory, "letsencrypt.log")
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}

// newLogger writes everything to file and, as -v asks for it, some of it to the
// terminal: warnings always, progress with -v, every exchange with -vv.
func newLogger(file, terminal io.Writer, o *options) *slog.Logger {
	level := slog.LevelWarn
	switch {
	case o.quiet:
		level = slog.LevelError
	case o.verbose == 1:
		level = slog.LevelInfo
	case o.verbose > 1:
		level = slog.LevelDebug
	}
	written := &counter{w: file}
	return slog.New(tee{
		slog.NewTextHandler(written, &slog.HandlerOptions{Level: slog.LevelDebug}),
		&plain{w: terminal, level: level},
		written,
	})
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
type tee struct {
	file, terminal slog.Handler
	written        *counter // to the file
}

func (t tee) Enabled(context.Context, slog.Level) bool { return true }

func (t tee) Handle(ctx context.Context, r slog.Record) error {
	var err error
	if r.Level >= slog.LevelWarn || t.written.n.Load() < maxRun {
		err = t.file.Handle(ctx, r)
	}
	if t.terminal.Enabled(ctx, r.Level) {
		err = errors.Join(err, t.terminal.Handle(ctx, r))
	}
	return err
}

func (t tee) WithAttrs(attrs []slog.Attr) slog.Handler {
	return tee{t.file.WithAttrs(attrs), t.terminal.WithAttrs(attrs), t.written}
}

func (t tee) WithGroup(name string) slog.Handler {
	return tee{t.file.WithGroup(name), t.terminal.WithGroup(name), t.written}
}

// plain writes records as a person at a terminal likes to read them.
type plain struct {
	w     io.Writer
	level slog.Level
	attrs []slog.Attr
}

func (p *plain) Enabled(_ context.Context, level slog.Level) bool { return level >= p.level }

func (p *plain) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "cairnbot: %s: %s", strings.ToLower(r.Level.String()), r.Message)
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
	return &plain{w: p.w, level: p.level, attrs: append(p.attrs[:len(p.attrs):len(p.attrs)], attrs...)}
}

func (p *plain) WithGroup(string) slog.Handler { return p } // no group is used
