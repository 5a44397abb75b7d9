package lineage

import (
	"fmt"
	"io/fs"
	"path/filepath"
)

// Dirs are the three directories of --config-dir, --work-dir and --logs-dir.
type Dirs struct{ Config, Work, Logs string }

// absolute makes the paths fit for renewal configurations.
func (d Dirs) absolute() (Dirs, error) {
	for _, path := range []*string{&d.Config, &d.Work, &d.Logs} {
		if *path == "" {
			return d, fmt.Errorf("a directory has no name")
		}
		full, err := filepath.Abs(*path)
		if err != nil {
			return d, fmt.Errorf("finding %s: %w", *path, err)
		}
		*path = full
	}
	return d, nil
}

// Prepare makes what is missing of the tree, with certbot's modes. What exists keeps its own.
func (d Dirs) Prepare() error {
	for _, directory := range []struct {
		path string
		mode fs.FileMode
	}{
		{d.Config, 0o755},
		{d.Work, 0o755},
		{d.Logs, 0o700}, // it hides the logs, which are 0644
		{filepath.Join(d.Config, "accounts"), 0o700},
		{filepath.Join(d.Config, "archive"), 0o700},
		{filepath.Join(d.Config, "live"), 0o700},
		{filepath.Join(d.Config, "renewal"), 0o755},
		{filepath.Join(d.Config, "renewal-hooks"), 0o755},
		{filepath.Join(d.Config, "renewal-hooks", "pre"), 0o755},
		{filepath.Join(d.Config, "renewal-hooks", "deploy"), 0o755},
		{filepath.Join(d.Config, "renewal-hooks", "post"), 0o755},
	} {
		if err := makeDir(directory.path, directory.mode); err != nil {
			return fmt.Errorf("preparing the directories: %w", err)
		}
	}
	return nil
}
