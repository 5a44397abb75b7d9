//go:build !unix

package adopt

// foreign knows nothing of owners here.
func foreign(...string) bool { return false }
