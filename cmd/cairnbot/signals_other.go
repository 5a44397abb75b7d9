//go:build !unix

package main

import "os"

// ending are the signals that end a run in good order.
var ending = []os.Signal{os.Interrupt}

// dieOf is for systems whose processes can die of a signal.
func dieOf(os.Signal) {}
