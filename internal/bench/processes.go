package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// watch measures processes: their CPU time, and the memory that they have together.
type watch struct {
	pids []int
	tree bool

	end  chan struct{}
	done sync.WaitGroup

	// Of the goroutine that samples, until done.
	before map[int]time.Duration // CPU time at the start
	latest map[int]time.Duration // CPU time when last seen, of those that have ended as well
	memory uint64
	peak   uint64
}

// ticks is the unit of CPU times in /proc, a second's hundredth on every Linux (getconf CLK_TCK).
const tick = 10 * time.Millisecond

const samplePeriod = 250 * time.Millisecond

// newWatch checks that the processes can be measured.
func newWatch(pids []int, tree bool) (*watch, error) {
	w := &watch{pids: pids, tree: tree}
	for _, pid := range pids {
		if _, err := cpuTime(pid); err != nil {
			return nil, fmt.Errorf("measuring process %d: %w", pid, err)
		}
	}
	return w, nil
}

// start takes the first sample, and then one four times in a second.
func (w *watch) start() {
	w.end, w.latest = make(chan struct{}), map[int]time.Duration{}
	w.before = map[int]time.Duration{}
	if len(w.pids) == 0 {
		return
	}
	w.sample()
	for pid, cpu := range w.latest {
		w.before[pid] = cpu
	}
	w.peak = w.memory
	w.done.Go(func() {
		ticker := time.NewTicker(samplePeriod)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				w.sample()
			case <-w.end:
				w.sample()
				return
			}
		}
	})
}

// stop takes the last sample and gives what was used; nil if there is nothing to watch.
func (w *watch) stop() *Usage {
	close(w.end)
	w.done.Wait()
	if len(w.pids) == 0 {
		return nil
	}
	usage := &Usage{Processes: len(w.latest), Memory: w.memory, PeakMemory: w.peak}
	for pid, cpu := range w.latest {
		usage.cpu += cpu - w.before[pid] // 0 for a process that began later
	}
	return usage
}

// sample looks at all processes. One that has ended keeps the time that it was last seen with.
func (w *watch) sample() {
	pids := w.pids
	if w.tree {
		pids = descendants(w.pids)
	}
	var own, shared uint64
	for _, pid := range pids {
		cpu, err := cpuTime(pid)
		if err != nil {
			continue
		}
		w.latest[pid] = cpu
		private, common := memoryOf(pid)
		own += private
		shared = max(shared, common)
	}
	w.memory = own + shared
	w.peak = max(w.peak, w.memory)
}

// statFields are those of /proc/PID/stat from the third on; the second, a name, may hold anything.
func statFields(pid int) ([]string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return nil, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return fields, nil
}

// cpuTime is the CPU time of a process, the kernel's work for it included.
func cpuTime(pid int) (time.Duration, error) {
	fields, err := statFields(pid)
	if err != nil {
		return 0, err
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, err
}

// memoryOf is the resident memory of a process: its own with its files, and what it shares
// with others (the buffers of PostgreSQL), in octets.
func memoryOf(pid int) (own, shared uint64) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		n, _ := strconv.ParseUint(fields[0], 10, 64)
		switch name {
		case "RssAnon", "RssFile":
			own += n << 10
		case "RssShmem":
			shared = n << 10
		}
	}
	return own, shared
}

// descendants are the processes with all of their children.
func descendants(pids []int) []int {
	children := map[int][]int{}
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, entry := range entries {
		pid, err := strconv.Atoi(filepath.Base(entry))
		if err != nil {
			continue
		}
		if fields, err := statFields(pid); err == nil {
			if parent, err := strconv.Atoi(fields[1]); err == nil {
				children[parent] = append(children[parent], pid)
			}
		}
	}
	var all []int
	seen := map[int]bool{}
	for queue := append([]int(nil), pids...); len(queue) > 0; queue = queue[1:] {
		if pid := queue[0]; !seen[pid] {
			seen[pid] = true
			all = append(all, pid)
			queue = append(queue, children[pid]...)
		}
	}
	return all
}
