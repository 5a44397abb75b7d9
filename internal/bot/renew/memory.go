package renew

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// State is what is remembered of one certificate from one run to the next. Nothing in it is needed:
// without it a CA is asked earlier than it would have been.
type State struct {
	Advice  *Advice  `json:"advice,omitempty"`
	Trouble *Trouble `json:"trouble,omitempty"`
}

// ServerState is what is remembered of a CA.
type ServerState struct {
	Trouble *Trouble `json:"trouble,omitempty"` // it could not be reached, or was in trouble itself
	// NoAdvice is until when it is not asked whether it offers renewal information, since it did not.
	NoAdvice time.Time `json:"noAdvice,omitzero"`
}

// Memory keeps a State for each lineage in a file NAME.json, and one for all CAs, all 0600. A file that cannot be
// read, or understood, counts as none. It may be used concurrently, for one lineage by one at a time.
type Memory struct {
	directory string

	mu      sync.Mutex
	servers map[string]ServerState // nil before it is read; guarded by mu
}

// OpenMemory uses the given directory, and makes it (0700) when there is something to keep.
func OpenMemory(directory string) *Memory { return &Memory{directory: directory} }

// serversFile is none of a lineage, whose names do not begin with a period.
const serversFile = ".servers.json"

// maxState bounds what is read: messages and dates.
const maxState = 64 << 10

// Load gives the state of a lineage.
func (m *Memory) Load(name string) State {
	var s State
	if lineage.CheckName(name) == nil {
		m.read(name+".json", maxState, &s)
	}
	return s
}

// Save keeps the state of a lineage in place of what was kept before.
func (m *Memory) Save(name string, s State) error {
	if err := lineage.CheckName(name); err != nil {
		return err
	}
	if s == (State{}) {
		return m.Forget(name)
	}
	return m.write(name+".json", s)
}

// Forget removes the state of a lineage.
func (m *Memory) Forget(name string) error {
	if err := lineage.CheckName(name); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(m.directory, name+".json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting what is known of %s: %w", name, err)
	}
	return nil
}

// Server gives what is remembered of the CA with that directory URL.
func (m *Memory) Server(url string) ServerState {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loadServers()
	return m.servers[url]
}

// SaveServer keeps it.
func (m *Memory) SaveServer(url string, s ServerState) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loadServers()
	if s == m.servers[url] {
		return nil
	}
	m.servers[url] = s
	if s == (ServerState{}) {
		delete(m.servers, url)
	}
	return m.write(serversFile, m.servers)
}

func (m *Memory) loadServers() {
	if m.servers == nil {
		m.read(serversFile, maxJob, &m.servers)
	}
	if m.servers == nil {
		m.servers = make(map[string]ServerState)
	}
}

// read decodes a file. What cannot be read is as good as not there.
func (m *Memory) read(name string, limit int64, into any) {
	file, err := os.Open(filepath.Join(m.directory, name))
	if err != nil {
		return
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, limit))
	if err == nil {
		_ = json.Unmarshal(text, into) // which takes nothing of what is no JSON; what of it is understood counts
	}
}

// write replaces a file. It is not synced: the power may take it back, which costs one more question to a
// CA, and a thousand of them would take seconds.
func (m *Memory) write(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding what is to be remembered: %w", err)
	}
	err = os.MkdirAll(m.directory, 0o700)
	if err == nil {
		unsynced := state
		unsynced.Unsynced = true
		err = unsynced.Replace(filepath.Join(m.directory, name), bytes.NewReader(text))
	}
	if err != nil {
		return fmt.Errorf("remembering how renewals went: %w", err)
	}
	return nil
}
