// Command cairn is a certificate authority that speaks ACME.
package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"strings"
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
	root.SetArgs(withTwoDashes(args))
	if err := root.ExecuteContext(ctx); err != nil {
		return complain(root.ErrOrStderr(), err)
	}
	return 0
}

// withTwoDashes lets -roles and -config of `cairn serve` stand for --roles and --config, as many people write it.
func withTwoDashes(args []string) []string {
	if len(args) == 0 || args[0] != "serve" {
		return args
	}
	args = slices.Clone(args)
	for i, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		if name == "-roles" || name == "-config" {
			args[i] = "-" + arg
		}
	}
	return args
}
