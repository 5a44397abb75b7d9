package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/catest"
)

// BenchmarkServer measures what a certificate costs the real process: a new order
// for one name, http-01, P-256, by clients that have an account already. It reports
// the server's own processor time, the latency that clients see, and memory.
//
//	go test ./cmd/cairn -run '^$' -bench Server -benchtime 2000x
func BenchmarkServer(b *testing.B) {
	for _, parallel := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("clients=%d", parallel), func(b *testing.B) { benchmarkServer(b, parallel) })
	}
}

func benchmarkServer(b *testing.B, parallel int) {
	responder := catest.NewResponder(b)
	s := newServer(b, responder.Port)
	<-s.start()
	root := s.root()
	clients := make([]*acme.Client, parallel)
	for i := range clients {
		clients[i] = catest.NewClient(b, s.directory(), root)
		if _, err := clients[i].Register(b.Context(), acme.NewAccount{}); err != nil {
			b.Fatal(err)
		}
	}
	before, _ := usage(b, s.cmd.Process.Pid)
	var left atomic.Int64
	left.Store(int64(b.N))
	took := make([][]time.Duration, parallel)
	var all sync.WaitGroup
	b.ResetTimer()
	for i, client := range clients {
		all.Go(func() {
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				// A name of its own: an authorization that is there already would spare the proof.
				name := fmt.Sprintf("www%d.localhost", n)
				start := time.Now()
				if _, err := catest.Obtain(b.Context(), client, responder, name); err != nil {
					b.Error(err)
					return
				}
				took[i] = append(took[i], time.Since(start))
			}
		})
	}
	all.Wait()
	b.StopTimer()
	after, memory := usage(b, s.cmd.Process.Pid)
	latencies := slices.Sorted(slices.Values(slices.Concat(took...)))
	b.ReportMetric(float64((after-before).Microseconds())/1000/float64(b.N), "server-cpu-ms/cert")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "certs/s")
	b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(latencies[len(latencies)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(memory, "server-MiB")
	s.end(syscall.SIGTERM)
}

// usage is the processor time of a process so far, and its peak memory in MiB.
func usage(b *testing.B, pid int) (cpu time.Duration, memory float64) {
	b.Helper()
	if runtime.GOOS != "linux" {
		b.Fatal("this benchmark reads /proc: run it on Linux")
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var user, system int64 // in ticks of 1/100 s
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		b.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, _ = fmt.Sscan(rest, &memory) // in KiB; 0 if it cannot be read
		}
	}
	return time.Duration(user+system) * 10 * time.Millisecond, memory / 1024
}
