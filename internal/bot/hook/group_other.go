//go:build !unix

package hook

import (
	"os"
	"os/exec"
)

// There are no process groups: the command itself is ended, at once.

func ownGroup(*exec.Cmd) {}

// OwnGroup changes nothing here.
func OwnGroup(*exec.Cmd) {}

func terminateGroup(leader *os.Process) { _ = leader.Kill() }
func killGroup(leader *os.Process)      { _ = leader.Kill() }
