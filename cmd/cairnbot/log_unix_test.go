//go:build unix

package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestLogThroughLinks: root's log does not go to where somebody else's link leads, and goes where his own does.
func TestLogThroughLinks(t *testing.T) {
	dir := t.TempDir()
	precious, link := filepath.Join(dir, "precious"), filepath.Join(dir, "log", logName)
	if err := errors.Join(os.Mkdir(filepath.Dir(link), 0o700), os.WriteFile(precious, nil, 0o600), os.Symlink(precious, link)); err != nil {
		t.Fatal(err)
	}
	file, err := openLog(filepath.Dir(link), 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	if os.Geteuid() != 0 {
		t.Log("not root: nobody's rights are at stake but our own")
		return
	}
	if err := os.Lchown(link, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if file, err := openLog(filepath.Dir(link), 0); err == nil {
		_ = file.Close()
		t.Error("the log is written through somebody else's link")
	}
}
