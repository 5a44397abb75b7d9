package checkpoint

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
)

// Changes are changes that are being made, and that Recover takes back until they are finished. Keep, KeepNew and
// Command are called before the change that they speak of, and are durable when they return.
type Changes struct {
	r         *Reverter
	directory string
	temporary bool
}

// Begin begins changes, or goes on with those that have been begun. Temporary ones, for a challenge, are never finished:
// Recover takes them back.
func (r *Reverter) Begin(temporary bool) (*Changes, error) {
	directory := r.path(inProgressDir)
	if temporary {
		directory = r.path(temporaryDir)
	}
	for _, path := range []string{r.path(backupsDir), directory} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return nil, fmt.Errorf("beginning a checkpoint: %w", err)
		}
	}
	if err := atomicfile.SyncDir(r.config.Directory); err != nil {
		return nil, fmt.Errorf("beginning a checkpoint: %w", err)
	}
	return &Changes{r, directory, temporary}, nil
}

// errTemporary says that a file is changed for the time of a challenge: what is in it is not what its owner has written.
var errTemporary = errors.New("it is changed for a challenge at the moment")

// Keep keeps the content of files that are about to be changed; the oldest content of each counts. note says to
// people what is changed.
func (c *Changes) Keep(note string, files ...string) error {
	list := filepath.Join(c.directory, pathsFile)
	have, err := readLines(list)
	if err != nil {
		return fmt.Errorf("keeping files: %w", err)
	}
	for _, path := range files {
		if err := c.check(path); err != nil {
			return fmt.Errorf("keeping %s: %w", path, err)
		}
		if slices.Contains(have, path) {
			continue
		}
		// The copy first: what is on the list has one.
		if err := copyFile(path, copyOf(c.directory, path, len(have))); err != nil {
			return fmt.Errorf("keeping %s: %w", path, err)
		}
		have = append(have, path)
		if err := replaceText(list, strings.Join(have, "\n")+"\n"); err != nil {
			return fmt.Errorf("keeping %s: %w", path, err)
		}
	}
	return c.note(note)
}

// check refuses what would not survive in a list of lines, and what a challenge has changed.
func (c *Changes) check(path string) error {
	if !filepath.IsAbs(path) || strings.ContainsAny(path, "\r\n\x00") {
		return errors.New("that is not an absolute path on one line")
	}
	if c.temporary {
		return nil
	}
	for _, list := range []string{pathsFile, newFile} {
		lines, err := readLines(c.r.path(temporaryDir, list))
		if err != nil {
			return err
		}
		if slices.Contains(lines, path) {
			return errTemporary
		}
	}
	return nil
}

// note adds to what people can read.
func (c *Changes) note(text string) error {
	if text == "" {
		return nil
	}
	path := filepath.Join(c.directory, notesFile)
	before, err := readBounded(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("writing down what is changed: %w", err)
	}
	if err := replaceText(path, string(before)+strings.TrimRight(text, "\n")+"\n"); err != nil {
		return fmt.Errorf("writing down what is changed: %w", err)
	}
	return nil
}

// KeepNew notes files that are about to be made.
func (c *Changes) KeepNew(files ...string) error {
	list := filepath.Join(c.directory, newFile)
	have, err := readLines(list)
	if err != nil {
		return fmt.Errorf("noting new files: %w", err)
	}
	for _, path := range files {
		if err := c.check(path); err != nil {
			return fmt.Errorf("noting the new file %s: %w", path, err)
		}
		if !slices.Contains(have, path) {
			have = append(have, path)
		}
	}
	if err := replaceText(list, strings.Join(have, "\n")+"\n"); err != nil {
		return fmt.Errorf("noting new files: %w", err)
	}
	return nil
}

// Command notes a command that undoes what is about to be done.
func (c *Changes) Command(argv ...string) error {
	path := filepath.Join(c.directory, commandsFile)
	before, err := readBounded(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("noting an undo command: %w", err)
	}
	var line strings.Builder
	writer := csv.NewWriter(&line)
	writer.UseCRLF = true // as certbot writes it
	if err := writer.Write(argv); err != nil {
		return fmt.Errorf("noting an undo command: %w", err)
	}
	writer.Flush()
	if err := replaceText(path, string(before)+line.String()); err != nil {
		return fmt.Errorf("noting an undo command: %w", err)
	}
	return nil
}

// Finish makes the changes a checkpoint, which only Rollback takes back. now names it.
func (c *Changes) Finish(title string, now time.Time) error {
	if c.temporary {
		return errors.New("changes for a challenge are taken back, and never finished")
	}
	path := filepath.Join(c.directory, notesFile)
	notes, err := readBounded(path)
	if errors.Is(err, fs.ErrNotExist) {
		notes, err = []byte("No changes\n"), nil
	}
	// A crash after this line and before the rename is recovered by taking all back, so the title stands there once.
	if err == nil {
		err = replaceText(path, "-- "+strings.ReplaceAll(title, "\n", " ")+" --\n"+string(notes))
	}
	if err == nil {
		err = c.rename(now)
	}
	if err != nil {
		return fmt.Errorf("finishing a checkpoint: %w", err)
	}
	return nil
}

// rename gives the directory its time as its name, later than all others.
func (c *Changes) rename(now time.Time) error {
	at := float64(now.UnixMilli()) / 1000
	names, err := c.r.names()
	if err != nil {
		return err
	}
	if len(names) > 0 && number(names[0]) >= at {
		at = number(names[0]) + 1 // the clock went back, or two in one instant
	}
	// Certbot compares these as text, so they all have the same number of digits.
	if err := os.Rename(c.directory, c.r.path(backupsDir, strconv.FormatFloat(at, 'f', 3, 64))); err != nil {
		return err
	}
	return errors.Join(atomicfile.SyncDir(c.r.path(backupsDir)), atomicfile.SyncDir(c.r.config.Directory))
}
