//go:build unix

package hook

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup has a command lead a process group, so that Ctrl-C does not reach it and all that it has started can be ended.
func ownGroup(command *exec.Cmd) { command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// OwnGroup does the same for a program that is run elsewhere, and has the end of its context end the whole group.
func OwnGroup(command *exec.Cmd) {
	ownGroup(command)
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
}

// A group that is gone is as it should be: the errors are of no use.

func terminateGroup(leader *os.Process) { _ = syscall.Kill(-leader.Pid, syscall.SIGTERM) }
func killGroup(leader *os.Process)      { _ = syscall.Kill(-leader.Pid, syscall.SIGKILL) }
