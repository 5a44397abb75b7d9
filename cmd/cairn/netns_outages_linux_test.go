package main

import (
	"context"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/catest"
)

// disturbance is one thing that goes wrong in a site, and how it is put right.
type disturbance struct {
	name     string
	do, undo func()
	briefly  bool // it is put right at once
	soak     bool // too long, or too like the others, for each `make test`
}

// cut takes out the cable of a machine.
func cut(h *host, soak bool) disturbance {
	return disturbance{name: "link of " + h.name + " cut", soak: soak,
		do:   func() { h.site.run("ip", "link", "set", h.link(), "down") },
		undo: func() { h.site.run("ip", "link", "set", h.link(), "up") },
	}
}

// killed is kill -9 of a machine's program, which is started again.
func killed(h *host, soak bool) disturbance {
	return disturbance{name: h.name + " killed", soak: soak, briefly: true, do: h.kill, undo: h.again}
}

// stopped has a program go on after it did not run for a while: for three leases in a soak.
func stopped(h *host, soak bool) disturbance {
	return disturbance{name: h.name + " stopped", soak: soak,
		do: func() { h.signal(syscall.SIGSTOP) }, undo: func() { h.signal(syscall.SIGCONT) },
	}
}

// full fills the disk of a machine; while it is full its program is killed and started, too.
func full(h *host, soak bool) disturbance {
	return disturbance{name: "disk of " + h.name + " full", soak: soak,
		do: func() {
			h.fill()
			h.kill()
			h.start() // whether it becomes ready or ends, it is again when there is space
		},
		undo: func() {
			if err := os.Remove(h.filler()); err != nil {
				h.site.t.Fatal(err)
			}
			if !h.up() {
				h.start()
			}
			h.again()
		},
	}
}

// again waits until the program of a machine does its work, and starts it if it does not run.
func (h *host) again() {
	h.site.t.Helper()
	if !h.up() {
		h.start()
	}
	switch {
	case h == h.site.primary || h == h.site.standby:
		h.site.eventually(h.name+" answers", func() bool {
			if !h.up() { // the processes of its life before were still there
				h.start()
			}
			return h.sql("SELECT 1") == nil
		})
	case !slices.Contains(h.site.validators, h):
		h.ready()
	}
}

func (h *host) filler() string { return filepath.Join(h.dir, "filler") }

// fill takes all the space that is left.
func (h *host) fill() {
	h.site.t.Helper()
	file, err := os.Create(h.filler())
	if err != nil {
		h.site.t.Fatal(err)
	}
	defer file.Close()
	if _, err := io.Copy(file, zeroes{}); !errors.Is(err, syscall.ENOSPC) {
		h.site.t.Fatalf("filling the disk of %s: %v", h.name, err)
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// fullLog fills the primary's disk and has it use up the segments of its log, until it fails.
func fullLog(s *site) disturbance {
	return disturbance{name: "disk of the primary full",
		do: func() {
			s.primary.fill()
			s.eventually("the primary fails for lack of space", func() bool {
				return s.primary.sql("SELECT pg_switch_wal() FROM (SELECT pg_logical_emit_message(true, 'test', repeat('x', 8000000))) a") != nil
			})
		},
		undo: func() {
			if err := os.Remove(s.primary.filler()); err != nil {
				s.t.Fatal(err)
			}
			s.primary.again()
		},
	}
}

// all are the machines with programs of the authority.
func (s *site) all() []*host {
	return slices.Concat([]*host{s.signer}, s.fronts, s.workers, s.validators)
}

// restarted kills everything, and starts it in any order.
func restarted(s *site) disturbance {
	everything := append(s.all(), s.primary, s.standby)
	return disturbance{name: "everything killed, and started in any order", briefly: true,
		do: func() {
			mathrand.Shuffle(len(everything), func(i, j int) { everything[i], everything[j] = everything[j], everything[i] })
			for _, h := range everything {
				h.kill()
			}
		},
		undo: func() {
			for _, h := range everything {
				h.start()
			}
			for _, h := range everything {
				h.again()
			}
		},
	}
}

// promoted cuts off the primary for good, as an operator has to so that nobody writes to it, and promotes the standby.
func promoted(s *site) disturbance {
	return disturbance{name: "the standby promoted",
		do: cut(s.primary, false).do,
		undo: func() {
			s.eventually("the standby is promoted", func() bool { return s.standby.sql("SELECT pg_promote()") == nil })
		},
	}
}

// disturbances are all but the promotion, after which there is no second server.
func disturbances(s *site) (list []disturbance) {
	for i, hosts := range [][]*host{s.fronts, s.workers, {s.signer}, s.validators, {s.primary}, {s.standby}} {
		for j, h := range hosts {
			again := j > 0 // one of its kind does for `make test`
			list = append(list, killed(h, again), cut(h, again))
			if i < 4 {
				list = append(list, stopped(h, again || i != 2), full(h, again || i == 3))
			}
		}
	}
	return append(list, fullLog(s), restarted(s))
}

// lasts is how long a disturbance is left: a few seconds, and in a soak sometimes three leases.
func (d disturbance) lasts() time.Duration {
	switch {
	case d.briefly:
		return 0
	case *soakFor > 0:
		return pauseFor()
	}
	return 2 * time.Second
}

// suffer has one thing go wrong and be put right, and waits until clients succeed again.
func (s *site) suffer(ctx context.Context, load *load, d disturbance) {
	s.t.Helper()
	begin := time.Now()
	d.do()
	after(ctx, d.lasts())
	d.undo()
	mended := time.Now()
	before := load.count()
	s.eventually("clients succeed again after: "+d.name, func() bool { return load.count() > before+2 })
	s.t.Logf("%s: for %v, clients succeeded %v later", d.name, mended.Sub(begin).Round(time.Millisecond), time.Since(mended).Round(time.Millisecond))
}

// count is how many certificates the clients have.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.obtained)
}

// TestClusterNetworks runs three fronts, two workers, five perspectives, a signer, and PostgreSQL with a standby in network
// namespaces, kills, cuts off, stops and fills them under load, and promotes the standby at the end. With -soak it does
// so in any order, with a thousand accounts, until the time is over.
func TestClusterNetworks(t *testing.T) {
	timeout := 10*time.Minute + 2**soakFor
	if !enterSite(t, timeout) {
		return
	}
	s := newSite(t)
	ctx, cancel := context.WithTimeout(t.Context(), timeout-time.Minute)
	defer cancel()
	load := &load{directory: "https://" + siteAddr + "/directory", responder: s.responder, root: (&server{t: t, data: s.signer.dir}).root(),
		name: siteAddr, apart: true, shared: 2, key: catest.NewKey(t)}
	clients := 4
	if *soakFor > 0 {
		clients, load.accounts = 12, 100
	}
	load.run(ctx, t, clients)
	if *soakFor == 0 {
		s.sufferEachKind(ctx, load)
	}
	for end := time.Now().Add(*soakFor); time.Now().Before(end) && ctx.Err() == nil; {
		list := disturbances(s)
		s.suffer(ctx, load, list[mathrand.IntN(len(list))])
	}
	s.suffer(ctx, load, promoted(s))
	begin := time.Now()
	load.finish(ctx, t)
	t.Logf("all clients succeeded after %v", time.Since(begin).Round(time.Millisecond))
	s.check(load)
}

// sufferEachKind goes through those of `make test`. A worker is stopped meanwhile, and goes on when the other has long taken
// over what it had.
func (s *site) sufferEachKind(ctx context.Context, load *load) {
	s.t.Helper()
	asleep := stopped(s.workers[1], false)
	begin := time.Now()
	asleep.do()
	for _, d := range disturbances(s) {
		if d.soak || d.name == restarted(s).name {
			continue
		}
		s.suffer(ctx, load, d)
	}
	asleep.undo()
	s.t.Logf("%s for %v", asleep.name, time.Since(begin).Round(time.Second))
	s.suffer(ctx, load, restarted(s))
}

// check ends all programs, and checks what they leave.
func (s *site) check(load *load) {
	s.t.Helper()
	begin := time.Now()
	for _, h := range s.all() {
		h.signal(syscall.SIGTERM)
	}
	for _, h := range s.all() {
		<-h.ended
	}
	s.t.Logf("all programs ended after %v", time.Since(begin).Round(time.Millisecond))
	seen := catest.Seen{Database: "postgres://cairn@" + s.standby.addr + "/cairn"} // which was promoted
	for _, got := range load.obtained {
		seen.Certificates = append(seen.Certificates, got.Chain.Certificates[0])
	}
	seen.CheckCA(s.t, s.signer.dir)
	s.t.Logf("%d certificates", len(seen.Certificates))
}
