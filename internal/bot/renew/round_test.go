package renew_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// record is what a round has done.
type record struct {
	mu                    sync.Mutex
	judged, renewed, done []int
	running, most         int
}

func (r *record) round(parallel int, due func(int) bool) renew.Round {
	note := func(list *[]int, i int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		*list = append(*list, i)
	}
	return renew.Round{
		Parallel: parallel,
		Judge:    func(_ context.Context, i int) bool { note(&r.judged, i); return due(i) },
		Ready:    func(context.Context) error { return nil },
		Renew: func(_ context.Context, i int) {
			r.mu.Lock()
			r.running++
			r.most = max(r.most, r.running)
			r.mu.Unlock()
			time.Sleep(time.Minute)
			note(&r.renewed, i)
			r.mu.Lock()
			r.running--
			r.mu.Unlock()
		},
		Done: func(i int) { note(&r.done, i) },
	}
}

func sorted(list []int) []int {
	slices.Sort(list)
	return list
}

func TestRoundsAreParallelWithALimit(t *testing.T) {
	for parallel, minutes := range map[int]int{0: 10, 1: 10, 4: 3, 50: 1} {
		synctest.Test(t, func(t *testing.T) {
			r, begun := new(record), time.Now()
			if err := r.round(parallel, func(i int) bool { return i%2 == 0 }).Run(t.Context(), 20); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took != time.Duration(minutes)*time.Minute {
				t.Errorf("%d at once: it took %s", parallel, took)
			}
			if r.most > max(parallel, 1) || len(r.judged) != 20 || !slices.Equal(sorted(r.renewed), []int{0, 2, 4, 6, 8, 10, 12, 14, 16, 18}) {
				t.Errorf("%d at once: %d were, renewed %v", parallel, r.most, r.renewed)
			}
			if len(sorted(r.done)) != 20 || slices.Compact(r.done)[19] != 19 {
				t.Errorf("done %v", r.done)
			}
		})
	}
}

func TestAnInterruptBeginsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		r := new(record)
		time.AfterFunc(90*time.Second, interrupt)
		if err := r.round(2, func(int) bool { return true }).Run(ctx, 10); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(sorted(r.renewed), []int{0, 1, 2, 3}) || len(r.done) != 10 {
			t.Errorf("renewed %v, done %v", r.renewed, r.done)
		}
	})
}

func TestARoundThatIsNotReadyRenewsNothing(t *testing.T) {
	r := new(record)
	round := r.round(2, func(i int) bool { return i > 5 })
	locked := errors.New("locked")
	round.Ready = func(context.Context) error { return locked }
	if err := round.Run(t.Context(), 10); !errors.Is(err, locked) || len(r.renewed) != 0 || len(r.done) != 10 {
		t.Errorf("%v, renewed %v, done %v", err, r.renewed, r.done)
	}
	round = r.round(2, func(int) bool { return false })
	round.Ready = func(context.Context) error { t.Error("there is nothing to be ready for"); return nil }
	if err := round.Run(t.Context(), 10); err != nil {
		t.Error(err)
	}
}

func TestLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var locks renew.Locks
		unlock, err := locks.Lock(t.Context(), "a", "b")
		if err != nil {
			t.Fatal(err)
		}
		if other, err := locks.Lock(t.Context(), "c"); err != nil {
			t.Error(err)
		} else {
			other()
		}
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := locks.Lock(short, "c", "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		time.AfterFunc(time.Hour, unlock)
		begun := time.Now()
		again, err := locks.Lock(t.Context(), "b", "c") // which the failed attempt has given back
		if err != nil || time.Since(begun) != time.Hour {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
		again()
	})
}
