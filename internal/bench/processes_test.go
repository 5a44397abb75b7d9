package bench

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// A child is found, counted and, when it has ended, still counted.
func TestWatch(t *testing.T) {
	child := exec.Command("cat") // which waits for its input
	input, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if all := descendants([]int{os.Getpid()}); !slices.Contains(all, os.Getpid()) || !slices.Contains(all, child.Process.Pid) {
		t.Errorf("the children of %d are %v, without %d", os.Getpid(), all, child.Process.Pid)
	}
	w, err := newWatch([]int{os.Getpid()}, true)
	if err != nil {
		t.Fatal(err)
	}
	w.start()
	// As much work as the clock of /proc can tell, twice.
	for before := ownCPU(); ownCPU() < before+2*tick; {
		_ = time.Now()
	}
	if err := input.Close(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	usage := w.stop()
	if usage.Processes < 2 || usage.cpu < 2*tick || usage.Memory < 1<<20 || usage.PeakMemory < usage.Memory {
		t.Errorf("usage %+v", usage)
	}
	if _, err := newWatch([]int{child.Process.Pid}, false); err == nil {
		t.Error("a process that has ended can be watched")
	}
}
