package daemon_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/daemon"
)

// manager is what a service manager hears, with the moment.
type manager struct {
	mu    sync.Mutex
	heard []string
}

func (m *manager) notify(state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = append(m.heard, state)
}

func (m *manager) count(state string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, heard := range m.heard {
		if strings.HasPrefix(heard, state) {
			n++
		}
	}
	return n
}

func TestNext(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	wrong := errors.New("locked")
	for _, test := range []struct {
		name           string
		next           time.Time
		err            error
		earliest, last time.Duration
	}{
		{"nothing is due", time.Time{}, nil, 9 * time.Hour, 12 * time.Hour},
		{"in months", now.AddDate(0, 2, 0), nil, 9 * time.Hour, 12 * time.Hour},
		{"in three hours", now.Add(3 * time.Hour), nil, 3 * time.Hour, 3*time.Hour + time.Minute},
		{"it is due, and could not be renewed", now.Add(-time.Hour), nil, time.Hour, 2 * time.Hour},
		{"the same, with an error", now.Add(-time.Hour), wrong, time.Hour, 2 * time.Hour},
		{"nobody could look", time.Time{}, wrong, 5 * time.Minute, 15 * time.Minute},
		{"some failed", now.Add(time.Hour), wrong, time.Hour, time.Hour + time.Minute},
	} {
		for range 100 {
			if d := daemon.Next(test.next, test.err, now).Sub(now); d < test.earliest || d > test.last {
				t.Errorf("%s: in %v", test.name, d)
			}
		}
	}
}

func TestItLooksWhenSomethingIsDueAndTwiceADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*24*time.Hour)
		defer cancel()
		begun := time.Now()
		due := begun.Add(100 * time.Hour)
		var looks []time.Duration
		met := false
		m := new(manager)
		err := daemon.Run(ctx, daemon.Config{Notify: m.notify, Round: func(context.Context) (time.Time, error) {
			looks = append(looks, time.Since(begun))
			if since := time.Since(due); since >= 0 && since <= time.Minute {
				met, due = true, due.AddDate(1, 0, 0)
			}
			return due, nil
		}})
		if err != nil || !met || looks[0] != 0 {
			t.Errorf("%v, met %v, looks %v", err, met, looks)
		}
		for i := 1; i < len(looks); i++ {
			if looks[i]-looks[i-1] > 12*time.Hour {
				t.Errorf("it did not look for %v", looks[i]-looks[i-1])
			}
		}
		if len(looks) > 30 {
			t.Errorf("it looked %d times", len(looks))
		}
		if m.count("READY=1") != 1 || m.count("STOPPING=1") != 1 || m.heard[0] != "READY=1" {
			t.Errorf("told %q", m.heard)
		}
	})
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		reload, m := make(chan os.Signal, 1), new(manager)
		rounds := 0
		done := make(chan error)
		go func() {
			done <- daemon.Run(ctx, daemon.Config{Notify: m.notify, Reload: reload,
				Round: func(context.Context) (time.Time, error) { rounds++; return time.Time{}, nil }})
		}()
		synctest.Wait()
		reload <- os.Interrupt
		synctest.Wait()
		if rounds != 2 || m.count("RELOADING=1") != 1 || m.count("READY=1") != 2 {
			t.Errorf("%d rounds, told %q", rounds, m.heard)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestTheWatchdogHearsNothingOfARoundThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := new(manager)
		done := make(chan error)
		go func() {
			done <- daemon.Run(ctx, daemon.Config{Notify: m.notify, Watchdog: time.Minute,
				Round: func(ctx context.Context) (time.Time, error) { <-ctx.Done(); return time.Time{}, ctx.Err() }})
		}()
		time.Sleep(12 * time.Hour)
		synctest.Wait()
		before := m.count("WATCHDOG=1")
		time.Sleep(12 * time.Hour)
		synctest.Wait()
		if after := m.count("WATCHDOG=1"); before < 12*60 || after > before+1 {
			t.Errorf("told %d times, and %d times later", before, after-before)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
