//go:build !unix

package lineage

import "io/fs"

// syncDir does nothing: here, directories cannot be synced.
func syncDir(string) error { return nil }

// owner knows nothing: files have no group here.
func owner(fs.FileInfo) (uid, gid int, ok bool) { return 0, 0, false }
