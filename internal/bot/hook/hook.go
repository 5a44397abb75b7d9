// Package hook runs an operator's commands. Whatever a command does, whoever runs it goes on:
// it has a limit of time, and then its whole process group ends; what it says is read up to a limit; and
// what it leaves in the background, with its output still open, is not waited for.
//
// A command is the operator's own and goes to a shell. Nothing that a CA or the network says may be
// part of it: such values go into the environment, which a shell does not run.
package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Config says how commands are run.
type Config struct {
	// Environment is what every command gets, as os.Environ has it.
	Environment []string
	// Timeout is how long a command may take; 0 is an hour. Then its process group is told to end
	// (SIGTERM), and killed after Grace.
	Timeout time.Duration
	Grace   time.Duration // 0 is ten seconds
	// LimitedBy is what people set Timeout by, for the error that says that it is over; "" is --hook-timeout.
	LimitedBy string
	// MaxOutput is how much of each stream is kept, in octets; 0 is 64 KiB. It is below what Linux
	// takes for one variable of an environment, where the output of an auth hook ends up.
	MaxOutput int
}

// Runner runs commands. Its methods may be called at once.
type Runner struct{ config Config }

// NewRunner fills in the defaults of c.
func NewRunner(c Config) *Runner {
	if c.Timeout == 0 {
		c.Timeout = time.Hour
	}
	if c.Grace == 0 {
		c.Grace = 10 * time.Second
	}
	if c.LimitedBy == "" {
		c.LimitedBy = "--hook-timeout"
	}
	if c.MaxOutput == 0 {
		c.MaxOutput = 64 << 10
	}
	return &Runner{config: c}
}

// Result is what became of a command.
type Result struct {
	Stdout, Stderr string
	// Code is the exit code; -1 if there is none, because the command could not be started or was killed.
	Code int
	// Err is nil if the command ran and its exit code is 0.
	Err error
}

// ErrTimeout says that a command took too long, and was ended.
var ErrTimeout = errors.New("it took longer than it may")

// drain is how long output is waited for after a command has ended: all that it wrote is in the
// pipe by then, and only what it has left in the background can write more.
const drain = time.Second

// Run gives a command to the shell, with variables ("NAME=value") beside the environment of all, and waits for it.
// An interrupt does not end it: it may be half way through what it does, and its time is limited.
func (r *Runner) Run(ctx context.Context, command string, variables ...string) Result {
	shell := exec.Command("/bin/sh", "-c", command)
	shell.Env = append(append([]string{}, r.config.Environment...), variables...)
	ownGroup(shell)
	stdout, err := r.open(&shell.Stdout)
	if err != nil {
		return Result{Code: -1, Err: err}
	}
	stderr, err := r.open(&shell.Stderr)
	if err != nil {
		stdout.closeWrite()
		return Result{Code: -1, Err: err}
	}
	err = shell.Start()
	stdout.closeWrite()
	stderr.closeWrite()
	if err == nil {
		err = r.wait(context.WithoutCancel(ctx), shell)
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	result := Result{Stdout: stdout.text(late), Stderr: stderr.text(late), Code: -1, Err: err}
	if shell.ProcessState != nil && !errors.Is(err, ErrTimeout) {
		result.Code = shell.ProcessState.ExitCode()
	}
	return result
}

// wait waits for a command that runs, and ends it when its time is over.
func (r *Runner) wait(ctx context.Context, shell *exec.Cmd) error {
	ended := make(chan error, 1)
	go func() { ended <- shell.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	terminateGroup(shell.Process)
	grace := time.NewTimer(r.config.Grace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
	}
	killGroup(shell.Process) // also what ignored the first signal while its leader obeyed
	return fmt.Errorf("%w, %v (%s), and was ended", ErrTimeout, r.config.Timeout, r.config.LimitedBy)
}

// stream is one output of a command.
type stream struct {
	write *os.File
	done  chan struct{} // closed at its end

	mu   sync.Mutex
	kept bytes.Buffer // guarded by mu
	lost bool         // there was more than is kept; guarded by mu
	max  int
}

// open makes a pipe for one output, and reads it to its end: also past the limit, and after the command has ended.
// Otherwise what the command has started in the background would be killed by its next line.
func (r *Runner) open(output *io.Writer) (*stream, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	*output = write // a file: the command gets it as it is, and Wait waits for nobody who still has it
	s := &stream{write: write, done: make(chan struct{}), max: r.config.MaxOutput}
	go func() {
		defer close(s.done)
		defer read.Close()
		_, _ = io.Copy(s, read) // ends when nobody has the other end any more
	}()
	return s, nil
}

func (s *stream) closeWrite() { _ = s.write.Close() } // the command has its own

// Write keeps the beginning.
func (s *stream) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := s.max - s.kept.Len()
	s.kept.Write(text[:min(room, len(text))])
	s.lost = s.lost || len(text) > room
	return len(text), nil
}

// text is what was written until the end of the stream, or until it is late.
func (s *stream) text(late context.Context) string {
	select {
	case <-s.done:
	case <-late.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost {
		return s.kept.String() + "\n[the rest of the output is left out]\n"
	}
	return s.kept.String()
}

// Indent sets what a command said off from what says so.
func Indent(text string) string {
	return " " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n ")
}
