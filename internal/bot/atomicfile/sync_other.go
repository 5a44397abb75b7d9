//go:build !unix

package atomicfile

// SyncDir does nothing: here, directories cannot be synced.
func SyncDir(string) error { return nil }
