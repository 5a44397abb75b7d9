package notify

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
)

// Target is somebody who is told.
type Target interface {
	// Name tells one target from another, over runs. It has no secret in it.
	Name() string
	// Send delivers one event, or says why it could not. It ends when ctx does, and may be
	// called again with the same event after a crash. Calls for different targets are concurrent.
	Send(ctx context.Context, event Event) error
}

// Config says who is told of what. Memory is required.
type Config struct {
	Targets []Target
	Kinds   []Kind // none means all
	// Again is after how many more failures they are spoken of again; 0 means 10.
	Again  int
	Memory string // a file, which is made (0600) where it is not there
	Host   string // of this machine, for messages
	Log    *slog.Logger
}

// Notifier tells the targets.
type Notifier struct {
	config Config
	memory memory
}

// memory is what is kept on disk.
type memory struct {
	Format  int                `json:"format"`
	Told    map[string]Told    `json:"told"` // by lineage
	Pending map[string][]Event `json:"pending,omitempty"`
}

// Bounds for what waits to be delivered: a target that is gone does not fill the disk.
const (
	maxPending    = 200
	maxPendingAge = 7 * day
	maxMemory     = 64 << 20
	// maxSending is how long one run takes for all deliveries to one target.
	maxSending = 2 * time.Minute
)

// Open reads what has been told. A file that cannot be understood counts as none: things are then told once more.
func Open(c Config) (*Notifier, error) {
	if c.Again < 1 {
		c.Again = 10
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	n := &Notifier{config: c}
	file, err := os.Open(c.Memory)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("reading what has been notified: %w", err)
	default:
		defer file.Close()
		text, err := io.ReadAll(io.LimitReader(file, maxMemory))
		if err != nil {
			return nil, fmt.Errorf("reading what has been notified: %w", err)
		}
		if json.Unmarshal(text, &n.memory) != nil || n.memory.Format != 1 {
			c.Log.Warn("what has been notified cannot be read, so it may be notified again", "path", c.Memory)
			n.memory = memory{}
		}
	}
	n.memory.Format = 1
	if n.memory.Told == nil {
		n.memory.Told = make(map[string]Told)
	}
	if n.memory.Pending == nil {
		n.memory.Pending = make(map[string][]Event)
	}
	return n, nil
}

// Tell judges the states of certificates and delivers what follows from them, and what is left from earlier runs. all says
// that there are no other certificates: what was told about others is forgotten. The error says what could not be
// delivered; it is kept for the next run.
//
// Before anything is sent, it is on disk that it is to be. A crash after a delivery sends it twice, and one before it not less than once.
func (n *Notifier) Tell(ctx context.Context, states []State, all bool, now time.Time) error {
	before := n.memory.clone()
	if all {
		here := make(map[string]bool, len(states))
		for _, s := range states {
			here[s.Lineage] = true
		}
		maps.DeleteFunc(n.memory.Told, func(name string, _ Told) bool { return !here[name] })
	}
	var events []Event
	for _, s := range states {
		told, known := n.memory.Told[s.Lineage]
		more, told := Judge(s, told, known, n.config.Again, now)
		n.memory.Told[s.Lineage] = told
		events = append(events, more...)
	}
	return n.deliver(ctx, events, before, now)
}

// Try sends a test to every target.
func (n *Notifier) Try(ctx context.Context, now time.Time) error {
	return n.deliver(ctx, []Event{{Kind: Test, Time: now.UTC(), Lineage: "test"}}, n.memory.clone(), now)
}

// deliver queues events for every target, and sends what is queued.
func (n *Notifier) deliver(ctx context.Context, events []Event, before memory, now time.Time) error {
	wanted := func(e Event) bool {
		return len(n.config.Kinds) == 0 || e.Kind == Test || slices.Contains(n.config.Kinds, e.Kind)
	}
	targets := make(map[string]bool)
	for _, target := range n.config.Targets {
		name := target.Name()
		targets[name] = true
		queue := slices.DeleteFunc(n.memory.Pending[name], func(e Event) bool { return now.Sub(e.Time) > maxPendingAge })
		for _, e := range events {
			if wanted(e) {
				e.ID, e.Host = rand.Text(), n.config.Host
				queue = append(queue, e)
			}
		}
		if more := len(queue) - maxPending; more > 0 {
			n.config.Log.Warn("notifications are dropped: too many wait", "target", name, "dropped", more)
			queue = slices.Delete(queue, 0, more)
		}
		n.memory.Pending[name] = queue
	}
	maps.DeleteFunc(n.memory.Pending, func(name string, queue []Event) bool { return !targets[name] || len(queue) == 0 })
	if reflect.DeepEqual(before, n.memory) && len(n.memory.Pending) == 0 {
		return nil
	}
	if err := n.save(); err != nil {
		return err
	}
	if len(n.memory.Pending) == 0 {
		return nil
	}
	return errors.Join(n.send(ctx), n.save())
}

// send tries what waits, for all targets at once. One that fails is left alone until the next run.
func (n *Notifier) send(ctx context.Context) error {
	failures := make([]error, len(n.config.Targets))
	left := make([][]Event, len(n.config.Targets))
	var sending sync.WaitGroup
	for i, target := range n.config.Targets {
		queue := n.memory.Pending[target.Name()]
		sending.Go(func() {
			limited, cancel := context.WithTimeout(ctx, maxSending)
			defer cancel()
			for len(queue) > 0 && failures[i] == nil {
				if err := target.Send(limited, queue[0]); err != nil {
					failures[i] = fmt.Errorf("notifying %s: %w", target.Name(), err)
					continue
				}
				n.config.Log.Info("notified", "target", target.Name(), "event", queue[0].Kind, "name", queue[0].Lineage)
				queue = queue[1:]
			}
			left[i] = queue
		})
	}
	sending.Wait()
	for i, target := range n.config.Targets {
		if n.memory.Pending[target.Name()] = left[i]; len(left[i]) == 0 {
			delete(n.memory.Pending, target.Name())
		}
	}
	return errors.Join(failures...)
}

func (n *Notifier) save() error {
	text, err := json.Marshal(n.memory)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(n.config.Memory), 0o755)
	}
	if err == nil {
		err = atomicfile.Replace(n.config.Memory, append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("remembering what is notified: %w", err)
	}
	return nil
}

func (m memory) clone() memory {
	m.Told, m.Pending = maps.Clone(m.Told), maps.Clone(m.Pending)
	return m
}
