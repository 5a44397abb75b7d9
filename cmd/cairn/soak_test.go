package main

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/catest"
	"github.com/cairn-ca/cairn/internal/pgtest"
)

// soakFor is how long TestClusterOutages goes on: `make soak SOAK=1h`.
var soakFor = flag.Duration("soak", 0, "how long the cluster is put under load and broken; 0 breaks each thing once")

// outage is one way in which something breaks, and is well again when the function returns.
type outage struct {
	name string
	of   func(ctx context.Context, c *testCluster, db *pgtest.Server, m *machine)
}

// outages lists what can happen to a machine or to the database.
func outages() []outage {
	return []outage{
		{"stopped for a while", func(ctx context.Context, c *testCluster, _ *pgtest.Server, m *machine) {
			c.signal(m, syscall.SIGSTOP)
			after(ctx, pauseFor())
			c.signal(m, syscall.SIGCONT)
		}},
		{"killed", func(_ context.Context, c *testCluster, _ *pgtest.Server, m *machine) {
			c.end(m, syscall.SIGKILL)
			c.start(m)
		}},
		{"database frozen", func(ctx context.Context, c *testCluster, db *pgtest.Server, _ *machine) {
			db.Freeze(c.t)
			after(ctx, pauseFor())
			db.Thaw(c.t)
		}},
		{"database killed", func(ctx context.Context, c *testCluster, db *pgtest.Server, _ *machine) {
			db.Kill(c.t)
			after(ctx, time.Second)
			db.Restart(c.t)
		}},
		{"all restarted at once", func(_ context.Context, c *testCluster, _ *pgtest.Server, _ *machine) {
			all := append(slices.Clone(c.machines), c.signer)
			mathrand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			for _, m := range all {
				c.end(m, syscall.SIGKILL)
			}
			var ready []<-chan bool
			for _, m := range all {
				ready = append(ready, c.launch(m))
			}
			for i, m := range all {
				if !<-ready[i] {
					c.t.Errorf("%s ended instead of becoming ready", m.name)
				}
			}
		}},
	}
}

// pauseFor is how long something is stopped: a few seconds, and in a soak sometimes for three leases.
func pauseFor() time.Duration {
	if *soakFor > 0 && mathrand.IntN(10) == 0 {
		return 95 * time.Second
	}
	return 4 * time.Second
}

func (c *testCluster) signal(m *machine, signal syscall.Signal) {
	c.t.Helper()
	if err := m.cmd.Process.Signal(signal); err != nil {
		c.t.Fatalf("%s is not there any more: %v", m.name, err)
	}
}

// TestClusterOutages breaks everything once, or for as long as -soak says, under load by clients with an account each
// and by some that share one. Nothing that was answered is lost, no order gets two certificates, and all clients succeed in the end.
func TestClusterOutages(t *testing.T) {
	db := pgtest.Start(t)
	c := newTestCluster(t, db.URL(db.Database(t), ""), 3, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute+2*(*soakFor))
	defer cancel()
	load := &load{
		directory: fmt.Sprintf("https://localhost:%d/directory", c.balancer.port()), responder: c.responder, root: c.root(),
		apart: true, shared: 3, key: catest.NewKey(t),
	}
	load.run(ctx, t, 6)
	end := time.Now().Add(*soakFor)
	for round := 0; round == 0 || time.Now().Before(end); round++ {
		for _, o := range outages() {
			m := append(slices.Clone(c.machines), c.signer)[mathrand.IntN(len(c.machines)+1)]
			t.Logf("%s: %s", m.name, o.name)
			o.of(ctx, c, db, m)
			after(ctx, time.Second)
		}
		c.measure(load)
	}
	load.finish(ctx, t)
	c.measure(load)
	c.check(load.obtained)
}

// measure notes what the processes and the database hold, and how long clients wait, and fails where that is without bounds.
func (c *testCluster) measure(load *load) {
	c.t.Helper()
	db, err := sql.Open("pgx", c.database)
	if err != nil {
		c.t.Fatal(err)
	}
	defer db.Close()
	var size, certificates int64
	if err := db.QueryRow("SELECT pg_database_size(current_database()), count(*) FROM certificates").Scan(&size, &certificates); err != nil {
		c.t.Fatal(err)
	}
	load.mu.Lock()
	took := slices.Clone(load.took)
	load.mu.Unlock()
	slices.Sort(took)
	line := fmt.Sprintf("%d certificates, %d octets of database each", certificates, size/max(certificates, 1))
	if len(took) > 0 {
		line += fmt.Sprintf(", p50 %v, p99 %v", took[len(took)/2], took[len(took)*99/100])
	}
	for _, m := range append(slices.Clone(c.machines), c.signer) {
		memory, descriptors := heldBy(c.t, m.cmd.Process.Pid)
		line += fmt.Sprintf("; %s %d MiB, %d descriptors", m.name, memory>>10, descriptors)
		if memory > 400<<10 || descriptors > 1000 {
			c.t.Errorf("%s has %d MiB of memory and %d descriptors", m.name, memory>>10, descriptors)
		}
	}
	c.t.Log(line)
}

// heldBy is the memory (KiB) and the number of descriptors that a process has.
func heldBy(t testing.TB, pid int) (memory, descriptors int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			memory, _ = strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return memory, len(open)
}
