package sign_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca/sign"
)

// memory is a Journal that keeps everything for as long as the test runs: what
// a durable one is to the processes that come and go around it.
type memory struct {
	mu        sync.Mutex
	current   map[string]sign.Entry // by order
	serials   map[string]bool       // every serial that was ever reserved
	abandoned []string              // serials, in order
}

func newMemory() *memory {
	return &memory{current: map[string]sign.Entry{}, serials: map[string]bool{}}
}

func (m *memory) Lookup(_ context.Context, order string) (sign.Entry, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.current[order]
	return e, ok, nil
}

func (m *memory) Reserve(_ context.Context, e sign.Entry, replaces string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.current[e.Order]
	if m.serials[e.Serial] || old.Serial != replaces || old.DER != nil || e.DER != nil {
		return sign.ErrConflict
	}
	if replaces != "" {
		m.abandoned = append(m.abandoned, replaces)
	}
	m.serials[e.Serial] = true
	m.current[e.Order] = e
	return nil
}

func (m *memory) Settle(_ context.Context, e sign.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	reserved := e
	reserved.DER = nil
	if len(e.DER) == 0 || !reflect.DeepEqual(m.current[e.Order], reserved) {
		return sign.ErrConflict
	}
	m.current[e.Order] = e
	return nil
}

// consistent fails the test unless every certificate that left is the settled
// one of its order, and every serial is current or abandoned.
func (m *memory) consistent(t *testing.T, left map[string][]sign.Certificate) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	known := slices.Clone(m.abandoned)
	for order, e := range m.current {
		known = append(known, e.Serial)
		for _, c := range left[order] {
			if c.Serial != e.Serial || !slices.Equal(c.DER, e.DER) {
				t.Errorf("order %s: certificate %s left, and the journal has %s", order, c.Serial, e.Serial)
			}
		}
	}
	slices.Sort(known)
	if every := slices.Sorted(maps.Keys(m.serials)); !slices.Equal(known, every) {
		t.Errorf("serials %v were reserved, but %v are current or abandoned", every, known)
	}
}

var (
	errLost   = errors.New("the journal failed")
	errKilled = errors.New("the process was killed")
)

// faulty is the connection of one process to a journal, and fails at one step.
type faulty struct {
	*memory
	step  string // lookup, reserve or settle
	fault string // lost, done (but reported failed), killed before, killed after
}

func (f *faulty) do(step string, work func() error) error {
	if step != f.step {
		return work()
	}
	switch f.fault {
	case "lost":
		return errLost
	case "done but reported failed":
		_ = work()
		return errLost
	case "killed after":
		_ = work()
	}
	panic(errKilled) // unwinds the whole call: nothing of the process runs on
}

func (f *faulty) Lookup(ctx context.Context, order string) (e sign.Entry, ok bool, err error) {
	err = f.do("lookup", func() error { e, ok, err = f.memory.Lookup(ctx, order); return err })
	return e, ok, err
}

func (f *faulty) Reserve(ctx context.Context, e sign.Entry, replaces string) error {
	return f.do("reserve", func() error { return f.memory.Reserve(ctx, e, replaces) })
}

func (f *faulty) Settle(ctx context.Context, e sign.Entry) error {
	return f.do("settle", func() error { return f.memory.Settle(ctx, e) })
}

// attempt runs one issuance in a process that a kill ends.
func attempt(s *sign.Signer, r sign.Request) (c sign.Certificate, err error) {
	defer func() {
		if v := recover(); v != nil {
			if v != error(errKilled) {
				panic(v)
			}
			c, err = sign.Certificate{}, errKilled
		}
	}()
	return s.Certificate(context.Background(), r)
}

// TestFailures is the failure table: each durable step × what can happen to it.
func TestFailures(t *testing.T) {
	h := newHierarchy(t, "internal")
	const none, dangling, settled = "none", "reservation", "settled"
	tests := []struct {
		step, fault string
		leaves      string // what the journal has for the order afterwards
	}{
		{"lookup", "lost", none},
		{"lookup", "killed before", none},
		{"reserve", "lost", none},
		{"reserve", "done but reported failed", dangling},
		{"reserve", "killed before", none},
		{"reserve", "killed after", dangling},
		{"settle", "lost", dangling},
		{"settle", "done but reported failed", settled},
		{"settle", "killed before", dangling},
		{"settle", "killed after", settled},
	}
	for _, test := range tests {
		t.Run(test.step+" "+test.fault, func(t *testing.T) {
			journal := newMemory()
			r := h.request("order", "a.internal")
			if c, err := attempt(h.signer(t, &faulty{journal, test.step, test.fault}), r); err == nil || c.DER != nil {
				t.Fatalf("the attempt gave %v, %v", c, err)
			}
			left := none
			first, found, _ := journal.Lookup(context.Background(), "order")
			if found {
				left = dangling
			}
			if first.DER != nil {
				left = settled
			}
			if left != test.leaves {
				t.Errorf("left %s, not %s", left, test.leaves)
			}
			second, err := attempt(h.signer(t, journal), r) // the process restarted
			check(t, err)
			third, err := attempt(h.signer(t, journal), r)
			check(t, err)
			if (second.Serial == first.Serial) != (left == settled) {
				t.Errorf("%s: serial %s first, then %s", left, first.Serial, second.Serial)
			}
			if abandoned := slices.Contains(journal.abandoned, first.Serial); abandoned != (left == dangling) {
				t.Errorf("%s: abandoned %v", left, journal.abandoned)
			}
			journal.consistent(t, map[string][]sign.Certificate{"order": {second, third}})
		})
	}
}

// lying says that another signer was faster, or gives the wrong entry.
type lying struct {
	*memory
	entry sign.Entry
}

func (l lying) Lookup(context.Context, string) (sign.Entry, bool, error) { return l.entry, true, nil }

func TestLyingJournal(t *testing.T) {
	h := newHierarchy(t, "internal")
	journal := newMemory()
	s := h.signer(t, journal)
	for _, order := range []string{"one", "two"} {
		_, err := s.Certificate(context.Background(), h.request(order, "a.internal"))
		check(t, err)
	}
	one := journal.current["one"]
	change := func(f func(*sign.Entry)) sign.Entry { e := one; e.DER = slices.Clone(one.DER); f(&e); return e }
	for name, entry := range map[string]sign.Entry{
		"another order's": journal.current["two"],
		"another serial":  change(func(e *sign.Entry) { e.Serial = "47" }),
		"another digest":  change(func(e *sign.Entry) { e.Digest[0]++ }),
		"a bad signature": change(func(e *sign.Entry) { e.DER[len(e.DER)-1]++ }),
		"cut short":       change(func(e *sign.Entry) { e.DER = e.DER[:100] }),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := h.signer(t, lying{journal, entry}).Certificate(context.Background(), h.request("one", "a.internal"))
			if err == nil || c.DER != nil {
				t.Errorf("the signer believed it: %v", c)
			}
		})
	}
	t.Run("a settled order without its certificate", func(t *testing.T) {
		entry := change(func(e *sign.Entry) { e.DER = nil })
		c, err := h.signer(t, lying{journal, entry}).Certificate(context.Background(), h.request("one", "a.internal"))
		if !errors.Is(err, sign.ErrConflict) || c.DER != nil {
			t.Errorf("got %v, %v", c, err)
		}
	})
}

// TestOneOrderManySigners lets machines race for a few orders, each trying again on a conflict.
func TestOneOrderManySigners(t *testing.T) {
	h := newHierarchy(t, "internal")
	journal := newMemory()
	left := map[string][]sign.Certificate{}
	var mu sync.Mutex
	var machines sync.WaitGroup
	for range 4 {
		s := h.signer(t, journal)
		machines.Go(func() {
			for i := range 12 {
				order := fmt.Sprint("order ", i%3)
				c, err := s.Certificate(context.Background(), h.request(order, "a.internal"))
				switch {
				case errors.Is(err, sign.ErrConflict):
				case err != nil:
					t.Error(err)
				default:
					mu.Lock()
					left[order] = append(left[order], c)
					mu.Unlock()
				}
			}
		})
	}
	machines.Wait()
	if len(left) != 3 {
		t.Errorf("certificates left for %d orders of 3", len(left))
	}
	journal.consistent(t, left)
}

// TestOvertaken has another machine take the order over between reservation and settlement.
func TestOvertaken(t *testing.T) {
	h := newHierarchy(t, "internal")
	journal := newMemory()
	r := h.request("order", "a.internal")
	var other sign.Certificate
	slow := hooked{journal, func() {
		var err error
		other, err = h.signer(t, journal).Certificate(context.Background(), r)
		check(t, err)
	}}
	if c, err := h.signer(t, slow).Certificate(context.Background(), r); !errors.Is(err, sign.ErrConflict) || c.DER != nil {
		t.Errorf("the slow machine got %v, %v", c, err)
	}
	again, err := h.signer(t, journal).Certificate(context.Background(), r)
	check(t, err)
	journal.consistent(t, map[string][]sign.Certificate{"order": {other, again}})
	if len(journal.abandoned) != 1 {
		t.Errorf("abandoned %v, not the slow machine's serial alone", journal.abandoned)
	}
}

// hooked runs before, once, before anything is settled.
type hooked struct {
	*memory
	before func()
}

func (h hooked) Settle(ctx context.Context, e sign.Entry) error {
	h.before()
	return h.memory.Settle(ctx, e)
}

// TestCallerGone cancels the request once the serial is reserved: the result is recorded all the same.
func TestCallerGone(t *testing.T) {
	h := newHierarchy(t, "internal")
	journal := newMemory()
	ctx, cancel := context.WithCancel(context.Background())
	strict := strict{hooked{journal, cancel}}
	c, err := h.signer(t, strict).Certificate(ctx, h.request("order", "a.internal"))
	check(t, err)
	journal.consistent(t, map[string][]sign.Certificate{"order": {c}})
}

// strict refuses to settle for a caller who is gone.
type strict struct{ hooked }

func (s strict) Settle(ctx context.Context, e sign.Entry) error {
	s.before()
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.memory.Settle(ctx, e)
}
