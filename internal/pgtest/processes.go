package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// account is who runs the server where this process is root, which PostgreSQL refuses to be: its own user, or nobody.
func account() (uid, gid int, ok bool) {
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.Atoi(found.Uid)
		gid, errGID := strconv.Atoi(found.Gid)
		if errUID == nil && errGID == nil && uid != 0 {
			return uid, gid, true
		}
	}
	return 0, 0, false
}

// own gives a directory to whoever runs the server.
func own(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, ok := account()
	if !ok {
		return errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
	}
	return os.Chown(dir, uid, gid)
}

// unprivileged has a process end with this one, and run as somebody else than root.
func unprivileged() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT} // "immediate shutdown"
	if uid, gid, ok := account(); ok && os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return attr
}

// spawn starts the process from a thread that lasts: the end of its parent's thread counts as that of its parent.
func (s *Server) spawn() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := s.process.Start()
		started <- err
		if err == nil {
			_ = s.process.Wait() // how it ends is told by its log
			close(s.ended)
		}
	}()
	return <-started
}

// children are the processes that the server has started.
func (s *Server) children() (pids []int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if fields := stat(pid); len(fields) > 12 && fields[1] == strconv.Itoa(s.process.Process.Pid) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// stat is what the kernel says of a process, from its state on; nil if it has ended.
func stat(pid int) []string {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	_, rest, _ := strings.Cut(string(content), ") ")
	return strings.Fields(rest)
}

// running reports whether a process has not ended.
func running(pid int) bool {
	fields := stat(pid)
	return fields != nil && fields[0] != "Z"
}

// clockTicks is the kernel's unit of processor time: a hundredth of a second on every Linux there is.
const clockTicks = 100

// ProcessorTime is what the server's processes have used so far. What ended processes used
// counts as well.
func (s *Server) ProcessorTime() (used time.Duration, err error) {
	children, err := s.children()
	if err != nil {
		return 0, err
	}
	ticks := 0
	for i, pid := range append(children, s.process.Process.Pid) {
		fields := stat(pid)
		if fields == nil {
			continue
		}
		columns := fields[11:13] // utime, stime
		if i == len(children) {
			columns = fields[11:15] // and those of children that have ended
		}
		for _, text := range columns {
			n, err := strconv.Atoi(text)
			if err != nil {
				return 0, err
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / clockTicks, nil
}
