package main

import (
	"os"
	"runtime/debug"
)

// gcPercent lets the heap grow to three and a half times what is in use before it is collected, where Go's own choice is twice.
// What is in use is a dozen MiB, so this costs some 15 MiB and spares a twentieth of the processor time of a
// certificate (docs/performance.md).
const gcPercent = 250

// tuneMemory sets gcPercent, unless the operator has said in the environment what is to be.
func tuneMemory() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
