//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// ending are the signals that end a run in good order: what was put up for the CA is taken
// down, what was stopped is started, the locks are given up.
var ending = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGXCPU}

// dieOf ends the process the way the signal would have: whoever sent it, such as systemd, sees that it was
// heard. It returns for Ctrl-C, after which the exit code speaks, as with certbot.
func dieOf(s os.Signal) {
	if number, ok := s.(syscall.Signal); ok && number != syscall.SIGINT && number != syscall.SIGQUIT {
		signal.Reset(s)
		_ = syscall.Kill(syscall.Getpid(), number)
		select {} // it is on its way
	}
}
