package renew_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/renew"
)

func TestMemory(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "state")
	memory := renew.OpenMemory(directory)
	if s := memory.Load("a.example"); s != (renew.State{}) {
		t.Errorf("%+v", s)
	}
	if err := memory.Save("a.example", renew.State{}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(directory); err == nil {
		t.Error("a directory for nothing")
	}
	trouble := renew.Failed(nil, io.EOF, "s", "a", noon)
	if err := memory.Save("a.example", renew.State{Trouble: trouble, Advice: &renew.Advice{Certificate: "x", Next: noon}}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(directory, "a.example.json")
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if info, err := os.Stat(directory); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	s := renew.OpenMemory(directory).Load("a.example")
	if s.Trouble == nil || *s.Trouble != *trouble || !s.Advice.Next.Equal(noon) {
		t.Errorf("%+v", s)
	}
	for _, bad := range []string{"", "{", "null", "[]", `{"trouble": 5}`, strings.Repeat(" ", 1<<20) + "{}"} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if s := memory.Load("a.example"); s.Advice != nil {
			t.Errorf("%.20q: %+v", bad, s)
		}
	}
	for _, name := range []string{"../x", "", ".servers"} {
		if err := memory.Save(name, s); err == nil {
			t.Errorf("%q was taken", name)
		}
		if got := memory.Load(name); got != (renew.State{}) {
			t.Errorf("%q: %+v", name, got)
		}
	}
	if err := memory.Save("a.example", renew.State{}); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(directory); err != nil || len(entries) != 0 {
		t.Errorf("%v is left, %v", entries, err)
	}
}

func TestMemoryOfServersIsShared(t *testing.T) {
	directory := t.TempDir()
	memory := renew.OpenMemory(directory)
	var running sync.WaitGroup
	for i := range 20 {
		running.Go(func() {
			server := fmt.Sprintf("https://ca%d.test/dir", i)
			if err := memory.SaveServer(server, renew.ServerState{Trouble: renew.Failed(nil, io.EOF, server, "", noon)}); err != nil {
				t.Error(err)
			}
			if err := memory.Save(fmt.Sprintf("n%d", i), renew.State{Trouble: renew.Failed(nil, io.EOF, server, "", noon)}); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	later := renew.OpenMemory(directory)
	for i := range 20 {
		if later.Server(fmt.Sprintf("https://ca%d.test/dir", i)).Trouble == nil || later.Load(fmt.Sprintf("n%d", i)).Trouble == nil {
			t.Errorf("%d is lost", i)
		}
	}
	if err := memory.SaveServer("https://ca0.test/dir", renew.ServerState{}); err != nil || renew.OpenMemory(directory).Server("https://ca0.test/dir").Trouble != nil {
		t.Errorf("it is not forgotten: %v", err)
	}
	if err := os.WriteFile(filepath.Join(directory, ".servers.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := renew.OpenMemory(directory).Server("https://ca1.test/dir"); s.Trouble != nil {
		t.Errorf("%+v", s)
	}
}
