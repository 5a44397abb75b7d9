package load_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/load"
)

// TestOldestFirst: the level is that of what began first, in whatever order things end.
func TestOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g load.Gauge
		check := func(count int, oldest time.Duration) {
			t.Helper()
			if level := g.Level(); level.Count != count || level.Oldest != oldest {
				t.Errorf("the level is %+v, want %d and %s", level, count, oldest)
			}
		}
		check(0, 0)
		first := g.Begin()
		time.Sleep(time.Second)
		second := g.Begin()
		time.Sleep(time.Second)
		third := g.Begin()
		check(3, 2*time.Second)
		g.End(second)
		check(2, 2*time.Second)
		g.End(first)
		check(1, 0)
		time.Sleep(time.Minute)
		check(1, time.Minute)
		g.End(third)
		check(0, 0)
	})
}

func TestNobodyCounts(t *testing.T) {
	var g *load.Gauge
	g.End(g.Begin())
	if level := g.Level(); level != (load.Level{}) {
		t.Errorf("nobody counted %+v", level)
	}
}

func TestManyAtOnce(t *testing.T) {
	var g load.Gauge
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				e := g.Begin()
				if g.Level().Count == 0 {
					t.Error("nothing is under way while something is")
				}
				g.End(e)
			}
		})
	}
	all.Wait()
	if level := g.Level(); level.Count != 0 {
		t.Errorf("%d are left", level.Count)
	}
}

func BenchmarkGauge(b *testing.B) {
	var g load.Gauge
	b.ReportAllocs()
	for b.Loop() {
		g.End(g.Begin())
	}
}
