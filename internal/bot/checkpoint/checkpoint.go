// Package checkpoint takes back changes of servers' configuration files. Before a file is changed its content is
// kept in certbot's form, below the work directory:
//
//	temp_checkpoint/     changes for the time of a challenge
//	IN_PROGRESS/         changes that are being made
//	backups/TIMESTAMP/   changes that were finished, which a rollback takes back, the newest first
//
// so that certbot can take back what this package has kept, and this package what certbot has. In each such directory
// FILEPATHS lists the changed files, whose old content is in BASENAME_INDEX; NEW_FILES lists those to remove;
// COMMANDS has commands to run; CHANGES_SINCE says to people what it was.
//
// Who controls this package can write any file that the process can, and run commands with its rights: what is in those
// directories is believed, so nobody else may be able to write there. No content of a peer's ever is.
//
// Whatever moment a crash chooses, doing the same again leads to the same end.
package checkpoint

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
	"github.com/cairn-ca/cairn/internal/bot/hook"
)

// Names of certbot's.
const (
	temporaryDir  = "temp_checkpoint"
	inProgressDir = "IN_PROGRESS"
	backupsDir    = "backups"

	pathsFile    = "FILEPATHS"
	newFile      = "NEW_FILES"
	commandsFile = "COMMANDS"
	notesFile    = "CHANGES_SINCE"
)

// undone begins the names of directories whose changes have been taken back, and which are being removed.
const undone = ".cairnbot-undone-"

// Config says where checkpoints are. Directory is required.
type Config struct {
	Directory string // certbot's --work-dir
	// Run runs an undo command; nil runs it as a program, without a shell.
	Run func(ctx context.Context, argv []string) error
	Log *slog.Logger
}

// Reverter keeps checkpoints and takes them back. Whoever uses it holds certbot's lock on the directory.
type Reverter struct{ config Config }

// New fills in the defaults of c. It touches nothing.
func New(c Config) *Reverter {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Run == nil {
		c.Run = run
	}
	return &Reverter{c}
}

// commandTimeout bounds an undo command, such as one that disables a module.
const commandTimeout = time.Minute

func run(ctx context.Context, argv []string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	hook.OwnGroup(command)
	command.WaitDelay = time.Second // what it left in the background is not waited for
	text, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %.500s", err, text)
	}
	return nil
}

func (r *Reverter) path(names ...string) string {
	return filepath.Join(append([]string{r.config.Directory}, names...)...)
}

// Checkpoint is a set of changes that can be taken back.
type Checkpoint struct {
	Name  string    // of its directory
	Made  time.Time // zero where the name says nothing about it
	Notes string    // what was changed, for people; the first line is a title
	Files []string  // those that were changed
	New   []string  // those that were made
}

// List gives the finished checkpoints, the newest first.
func (r *Reverter) List() ([]Checkpoint, error) {
	names, err := r.names()
	if err != nil {
		return nil, err
	}
	list := make([]Checkpoint, len(names))
	for i, name := range names {
		if list[i], err = r.describe(name); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// names lists the finished checkpoints, the newest first. Certbot sorts them as text; as numbers they sort the same
// until the year 2286.
func (r *Reverter) names() ([]string, error) {
	entries, err := os.ReadDir(r.path(backupsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing checkpoints: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if _, err := strconv.ParseFloat(entry.Name(), 64); err == nil && entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(number(b), number(a)) })
	return names, nil
}

func number(name string) float64 {
	value, _ := strconv.ParseFloat(name, 64) // names are numbers
	return value
}

func (r *Reverter) describe(name string) (Checkpoint, error) {
	directory := r.path(backupsDir, name)
	c := Checkpoint{Name: name, Made: time.UnixMilli(int64(number(name) * 1000))}
	var err error
	if c.Files, err = readLines(filepath.Join(directory, pathsFile)); err != nil {
		return c, err
	}
	if c.New, err = readLines(filepath.Join(directory, newFile)); err != nil {
		return c, err
	}
	notes, err := readBounded(filepath.Join(directory, notesFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("reading a checkpoint: %w", err)
	}
	c.Notes = string(notes)
	return c, nil
}

// Recover takes back what was not finished: first what was for a challenge, then what was in progress, which came before
// that. It reports whether there was anything. Certbot does the same when it starts to work on a server's files.
func (r *Reverter) Recover(ctx context.Context) (bool, error) {
	if err := r.sweep(); err != nil {
		return false, err
	}
	temporary, err := r.undo(ctx, r.path(temporaryDir))
	if err != nil {
		return temporary, err
	}
	progress, err := r.undo(ctx, r.path(inProgressDir))
	return temporary || progress, err
}

// Rollback takes back the newest count checkpoints, after what was not finished, and gives those that it took back.
func (r *Reverter) Rollback(ctx context.Context, count int) ([]Checkpoint, error) {
	if _, err := r.Recover(ctx); err != nil {
		return nil, err
	}
	all, err := r.List()
	if err != nil {
		return nil, err
	}
	var done []Checkpoint
	for _, c := range all[:min(max(count, 0), len(all))] {
		if _, err := r.undo(ctx, r.path(backupsDir, c.Name)); err != nil {
			return done, err
		}
		done = append(done, c)
	}
	return done, nil
}

// undo takes back the changes of one directory, and removes it. It reports whether it is there.
//
//	commands, files, new files   a crash here leaves the directory: all is done again
//	the directory is renamed     from here on it is over
//	it is removed                what a crash leaves, sweep removes
func (r *Reverter) undo(ctx context.Context, directory string) (bool, error) {
	if _, err := os.Lstat(directory); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err := r.runCommands(ctx, directory); err != nil {
		return true, fmt.Errorf("taking back %s: %w", directory, err)
	}
	paths, err := readLines(filepath.Join(directory, pathsFile))
	if err != nil {
		return true, fmt.Errorf("taking back %s: %w", directory, err)
	}
	for i, path := range paths {
		if err := restore(copyOf(directory, path, i), path); err != nil {
			return true, fmt.Errorf("taking back %s: %w", directory, err)
		}
	}
	created, err := readLines(filepath.Join(directory, newFile))
	if err != nil {
		return true, fmt.Errorf("taking back %s: %w", directory, err)
	}
	for _, path := range created {
		// It is listed before it is made, so it may not be there.
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return true, fmt.Errorf("taking back %s: %w", directory, err)
		}
	}
	over := r.path(undone + filepath.Base(directory))
	err = os.Rename(directory, over)
	err = errors.Join(err, atomicfile.SyncDir(r.config.Directory), atomicfile.SyncDir(filepath.Dir(directory)))
	if err == nil {
		err = os.RemoveAll(over)
	}
	if err != nil {
		return true, fmt.Errorf("removing %s: %w", directory, err)
	}
	return true, nil
}

// sweep removes what was taken back by a run that was interrupted while it cleaned up.
func (r *Reverter) sweep() error {
	entries, err := os.ReadDir(r.config.Directory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for checkpoints: %w", err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), undone) {
			if err := os.RemoveAll(r.path(entry.Name())); err != nil {
				return fmt.Errorf("removing an old checkpoint: %w", err)
			}
		}
	}
	return nil
}

// runCommands runs the commands that undo things, the last first. One that fails is a warning: it may have been run before.
func (r *Reverter) runCommands(ctx context.Context, directory string) error {
	text, err := readBounded(filepath.Join(directory, commandsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	reader := csv.NewReader(strings.NewReader(string(text)))
	reader.FieldsPerRecord = -1
	commands, err := reader.ReadAll()
	if err != nil {
		return fmt.Errorf("%s: %w", commandsFile, err)
	}
	for _, argv := range slices.Backward(commands) {
		if len(argv) == 0 || argv[0] == "" {
			continue
		}
		if err := r.config.Run(ctx, argv); err != nil {
			if ctx.Err() != nil {
				return err
			}
			r.config.Log.Warn("an undo command failed", "command", strings.Join(argv, " "), "error", err)
		}
	}
	return nil
}

// copyOf is where the old content of the file at that place of the list is.
func copyOf(directory, path string, index int) string {
	return filepath.Join(directory, filepath.Base(path)+"_"+strconv.Itoa(index))
}
