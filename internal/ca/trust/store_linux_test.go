package trust_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca/trust"
	"golang.org/x/sys/unix"
)

// machine is a directory that looks like one, and programs that note their calls.
type machine struct {
	prefix, programs, log string
}

// newMachine makes a machine whose only trust store is at dir, and whose programs run script.
func newMachine(t *testing.T, dir, script string) machine {
	t.Helper()
	m := machine{prefix: t.TempDir(), programs: t.TempDir()}
	m.log = filepath.Join(m.programs, "calls")
	if err := os.MkdirAll(filepath.Join(m.prefix, dir), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"update-ca-certificates", "update-ca-trust", "security"} {
		text := "#!/bin/sh\necho " + name + " \"$@\" >>'" + m.log + "'\n" + script + "\n"
		if err := os.WriteFile(filepath.Join(m.programs, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m machine) store() *trust.Store {
	return trust.NewStore(trust.StoreConfig{Prefix: m.prefix, Programs: []string{m.programs}, Command: "cairn trust --install"})
}

// calls returns the calls noted since the last time it was asked.
func (m machine) calls(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(m.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	os.Remove(m.log)
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func TestInstallAndUninstall(t *testing.T) {
	for _, test := range []struct {
		system, dir, install, remove string
	}{
		{"Debian", "/usr/local/share/ca-certificates", "update-ca-certificates", "update-ca-certificates --fresh"},
		{"Fedora or RHEL", "/etc/pki/ca-trust/source/anchors", "update-ca-trust", "update-ca-trust"},
		{"Arch", "/etc/ca-certificates/trust-source/anchors", "update-ca-trust", "update-ca-trust"},
		{"SUSE", "/etc/pki/trust/anchors", "update-ca-certificates", "update-ca-certificates"},
	} {
		t.Run(test.system, func(t *testing.T) {
			m := newMachine(t, test.dir, "")
			foreign := filepath.Join(m.prefix, test.dir, "company.crt")
			if err := os.WriteFile(foreign, []byte("theirs"), 0o644); err != nil {
				t.Fatal(err)
			}
			root := newAuthority(t).root
			file := filepath.Join(m.prefix, test.dir, "cairn-"+trust.Fingerprint(root)+".crt")

			for _, changed := range []bool{true, false} { // the second time is like the first
				change, err := m.store().Install(t.Context(), root)
				if err != nil || change.Changed != changed || change.System != test.system || change.File != file || len(change.Notes) == 0 {
					t.Fatalf("Install = %+v, %v", change, err)
				}
				if calls := m.calls(t); !slices.Equal(calls, []string{test.install}) {
					t.Errorf("Install ran %q", calls)
				}
			}
			text, err := os.ReadFile(file)
			if err != nil || !bytes.Equal(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})) {
				t.Errorf("the file holds %q, %v", text, err)
			}
			if info, err := os.Stat(file); err != nil || info.Mode() != 0o644 {
				t.Errorf("the file's mode is %v, %v", info.Mode(), err)
			}
			for _, changed := range []bool{true, false} {
				change, err := m.store().Uninstall(t.Context(), root)
				if err != nil || change.Changed != changed {
					t.Fatalf("Uninstall = %+v, %v", change, err)
				}
				if calls := m.calls(t); !slices.Equal(calls, []string{test.remove}) {
					t.Errorf("Uninstall ran %q", calls)
				}
			}
			left, _ := filepath.Glob(filepath.Join(m.prefix, test.dir, "*"))
			hidden, _ := filepath.Glob(filepath.Join(m.prefix, test.dir, ".*"))
			if !slices.Equal(slices.Concat(left, hidden), []string{foreign}) {
				t.Errorf("left behind: %q %q", left, hidden)
			}
		})
	}
}

func TestMacOS(t *testing.T) {
	m := newMachine(t, "/Library/Keychains/System.keychain", `for last; do :; done; [ "$1" = delete-certificate ] || grep -q BEGIN "$last"`)
	root := newAuthority(t).root
	if _, err := m.store().Install(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if calls := m.calls(t); len(calls) != 1 || !strings.HasPrefix(calls[0], "security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain /") {
		t.Errorf("Install ran %q", calls)
	}
	if _, err := m.store().Uninstall(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	calls := m.calls(t)
	if len(calls) != 2 || calls[1] != "security delete-certificate -Z "+strings.ToUpper(trust.Fingerprint(root))+" /Library/Keychains/System.keychain" {
		t.Errorf("Uninstall ran %q", calls)
	}
}

// TestRefusedInstall checks that what could not be done leaves nothing.
func TestRefusedInstall(t *testing.T) {
	const dir = "/usr/local/share/ca-certificates"
	a := newAuthority(t)
	t.Run("the machine's program fails", func(t *testing.T) {
		m := newMachine(t, dir, "echo no space >&2; exit 3")
		_, err := m.store().Install(t.Context(), a.root)
		if err == nil || !strings.Contains(err.Error(), "no space") {
			t.Errorf("Install: %v, want what the program said", err)
		}
		if left, _ := os.ReadDir(filepath.Join(m.prefix, dir)); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	t.Run("the machine's program is missing", func(t *testing.T) {
		m := newMachine(t, dir, "")
		store := trust.NewStore(trust.StoreConfig{Prefix: m.prefix, Programs: []string{t.TempDir()}})
		if _, err := store.Install(t.Context(), a.root); err == nil || !strings.Contains(err.Error(), "update-ca-certificates is not in") {
			t.Errorf("Install: %v", err)
		}
	})
	t.Run("an unknown machine", func(t *testing.T) {
		m := newMachine(t, "/nothing", "")
		if _, err := m.store().Install(t.Context(), a.root); !errors.Is(err, trust.ErrUnknownSystem) {
			t.Errorf("Install: %v", err)
		}
		if _, err := m.store().Uninstall(t.Context(), a.root); !errors.Is(err, trust.ErrUnknownSystem) {
			t.Errorf("Uninstall: %v", err)
		}
	})
	t.Run("not an authority", func(t *testing.T) {
		m := newMachine(t, dir, "")
		leaf := *a.root
		leaf.IsCA = false
		if _, err := m.store().Install(t.Context(), &leaf); err == nil {
			t.Error("Install took a certificate that is no authority's")
		}
	})
	t.Run("without the right", func(t *testing.T) {
		m := newMachine(t, dir, "")
		for path, mode := range map[string]os.FileMode{filepath.Dir(m.prefix): 0o755, filepath.Join(m.prefix, dir): 0o555} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		err := asNobody(func() error {
			_, err := m.store().Install(t.Context(), a.root)
			return err
		})
		if !errors.Is(err, trust.ErrPermission) || !strings.Contains(err.Error(), "sudo cairn trust --install") {
			t.Errorf("Install: %v", err)
		}
	})
}

// asNobody calls do on a thread whose right to files is an ordinary user's, even where the test runs as root.
func asNobody(do func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if _, err := unix.SetfsuidRetUid(65534); err != nil {
			result <- err
			return
		}
		result <- do()
	}()
	return <-result
}

// TestDebianStore runs Debian's own program, on directories of the test's.
func TestDebianStore(t *testing.T) {
	const dir = "/usr/local/share/ca-certificates"
	m := newMachine(t, dir, "")
	for _, d := range []string{"etc", "hooks", "certs"} {
		if err := os.Mkdir(filepath.Join(m.prefix, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	a, b := newAuthority(t).root, newAuthority(t).root
	script := "#!/bin/sh\ncd '" + m.prefix + "' && : >conf && exec /usr/sbin/update-ca-certificates --certsconf $PWD/conf --certsdir $PWD/certs" +
		" --localcertsdir $PWD" + dir + " --etccertsdir $PWD/etc --hooksdir $PWD/hooks \"$@\"\n"
	if err := os.WriteFile(filepath.Join(m.programs, "update-ca-certificates"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	bundle := func() string {
		text, err := os.ReadFile(filepath.Join(m.prefix, "etc/ca-certificates.crt"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	pemA := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Raw}))
	pemB := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.Raw}))
	if _, err := m.store().Install(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if _, err := m.store().Install(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if got := bundle(); !strings.Contains(got, pemA) || !strings.Contains(got, pemB) {
		t.Errorf("the bundle lacks a root:\n%s", got)
	}
	if _, err := m.store().Uninstall(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if got := bundle(); strings.Contains(got, pemA) || !strings.Contains(got, pemB) {
		t.Errorf("the bundle has not lost the one root alone:\n%s", got)
	}
	links, _ := filepath.Glob(filepath.Join(m.prefix, "etc/cairn-*"))
	if len(links) != 1 || !strings.Contains(links[0], trust.Fingerprint(b)) {
		t.Errorf("links: %q", links)
	}
}
