//go:build unix

package notify

import (
	"os/exec"
	"syscall"
)

// ownGroup starts a command in a process group of its own, and has its end be that of the whole group.
func ownGroup(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
}
