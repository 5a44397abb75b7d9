package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// changing are the calls that change a file system, or make a change last. Of openat, those count that can make a file.
var changing = []uint64{
	unix.SYS_OPENAT, unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_FTRUNCATE, unix.SYS_FSYNC, unix.SYS_FDATASYNC,
	unix.SYS_MKDIRAT, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_UNLINKAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2,
	unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_UTIMENSAT, unix.SYS_SETXATTR,
}

// wasKilled is the exit code of a killer that came to its call.
const wasKilled = 113

// killer is a command of the tests: killer N PROGRAM [ARGUMENT…] runs a program, and kills it before the Nth of its calls
// that change something. They are counted over all of its threads, where strace counts for each by itself; what the program
// starts is left alone. A program that ends before gives the killer its exit code.
func killer() {
	n, err := strconv.Atoi(os.Args[1])
	if err == nil {
		err = kill(n, exec.Command(os.Args[2], os.Args[3:]...))
	}
	fmt.Fprintln(os.Stderr, "killer:", err) // kill returns when something went wrong alone
	os.Exit(1)
}

func kill(n int, command *exec.Cmd) error {
	runtime.LockOSThread() // who is traced obeys one thread alone
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := command.Start(); err != nil {
		return err
	}
	pid := command.Process.Pid
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil { // it stops before its first instruction
		return err
	}
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL
	if err := errors.Join(unix.PtraceSetOptions(pid, options), unix.PtraceSyscall(pid, 0)); err != nil {
		return err
	}
	for {
		thread, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case thread == pid && (status.Exited() || status.Signaled()):
			os.Exit(exitCode(status))
		case !status.Stopped():
			continue // a thread ended
		}
		if status.StopSignal() == unix.SIGTRAP|0x80 && counts(thread) {
			if n--; n == 0 {
				return end(pid)
			}
		}
		// A thread that is gone by now was ended with all others.
		if err := unix.PtraceSyscall(thread, passOn(status)); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
}

// end kills the process, none of whose threads does another step, and waits until it is gone.
func end(pid int) error {
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		return err
	}
	var status unix.WaitStatus
	for {
		thread, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case thread == pid && status.Signaled():
			os.Exit(wasKilled)
		}
	}
}

func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// passOn gives the signal that a stopped thread is to be handed: none for the stops that are ptrace's own.
func passOn(status unix.WaitStatus) int {
	switch signal := status.StopSignal(); {
	case signal == unix.SIGTRAP|0x80, signal == unix.SIGTRAP, signal == unix.SIGSTOP:
		return 0
	default:
		return int(signal)
	}
}

// callInfo is struct ptrace_syscall_info as it is at the entry of a call (ptrace(2)).
type callInfo struct {
	op       uint8
	_        [3]byte
	_        uint32
	_, _     uint64
	number   uint64
	argument [6]uint64
	_        [16]byte // longer members of the union
}

// counts reports whether a thread is about to make one of these calls.
func counts(thread int) bool {
	const request, entry = 0x420e, 1 // PTRACE_GET_SYSCALL_INFO, PTRACE_SYSCALL_INFO_ENTRY
	var info callInfo
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, request, uintptr(thread), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 || info.op != entry || !slices.Contains(changing, info.number) {
		return false
	}
	return info.number != unix.SYS_OPENAT || info.argument[2]&unix.O_CREAT != 0
}
