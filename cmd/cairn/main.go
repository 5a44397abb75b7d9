// Command cairn is a certificate authority that speaks ACME.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the build (see Makefile).
var version = "development"

func main() { os.Exit(run()) }

// run is main with an exit status: 0 for success, 1 for failure, 2 for a command line that cannot be understood.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	tuneMemory()
	root := newRoot()
	args := os.Args[1:]
	if calledPebble(os.Args[0]) {
		args = append([]string{"pebble"}, args...)
	}
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		return complain(root.ErrOrStderr(), err)
	}
	return 0
}
