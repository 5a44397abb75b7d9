//go:build !linux

package lineage

// exchange is a call of Linux.
func exchange(string, string) error { return errNoExchange }

// carryMode is not needed where directories are not exchanged.
func carryMode(string, string) error { return errNoExchange }
