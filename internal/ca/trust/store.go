package trust

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ErrPermission is what Install and Uninstall return, wrapped, when they lack
// the right to change the trust store. The wrapping error says how to get it.
var ErrPermission = errors.New("only root may change which roots this machine trusts")

// ErrUnknownSystem is what Install and Uninstall return, wrapped, on a machine
// whose trust store they do not know.
var ErrUnknownSystem = errors.New("no trust store that cairn knows was found on this machine: follow the instructions of `cairn trust`")

// refreshTime bounds a run of the machine's own program; the slowest seen is Java's, at some ten seconds.
const refreshTime = 2 * time.Minute

// StoreConfig says which machine a Store is of. The zero value is this one.
type StoreConfig struct {
	Prefix   string   // a directory put before every path; empty for the machine itself
	Programs []string // where the machine's programs are looked up; empty for the system's directories
	Command  string   // what the person would run again, for the hint; empty for "cairn trust …"
}

// Store is a machine's store of the roots that it trusts.
type Store struct{ config StoreConfig }

// NewStore returns the trust store that config describes. It looks at nothing yet.
func NewStore(config StoreConfig) *Store {
	if len(config.Programs) == 0 {
		// Not PATH: this runs as root, and these are the system's own.
		config.Programs = []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"}
	}
	return &Store{config: config}
}

// Change is what Install or Uninstall did; it says nothing when they return an error.
type Change struct {
	System  string   // the kind of machine
	File    string   // the certificate that was put there or taken away; empty where the system keeps it itself
	Changed bool     // false when everything was as asked for already
	Notes   []string // what does not follow by itself, in sentences
}

// A system is a row of what to do on one kind of machine. In the commands, {file}
// stands for the certificate's file and {hex} for its fingerprint.
type system struct {
	name    string
	sign    string // a path that only this kind has
	dir     string // where the administrator's roots go; empty if the install command takes the certificate in
	install []string
	remove  [][]string
	notes   []string
}

const keychain = "/Library/Keychains/System.keychain"

var systems = []system{
	{
		name: "Debian", sign: "/usr/local/share/ca-certificates", dir: "/usr/local/share/ca-certificates",
		install: []string{"update-ca-certificates"},
		// Without --fresh the link of a certificate that is gone stays.
		remove: [][]string{{"update-ca-certificates", "--fresh"}},
		notes:  []string{firefox, "Java follows where ca-certificates-java is installed; a Java of another origin has its own store."},
	},
	{
		name: "Fedora or RHEL", sign: "/etc/pki/ca-trust/source/anchors", dir: "/etc/pki/ca-trust/source/anchors",
		install: []string{"update-ca-trust"},
		remove:  [][]string{{"update-ca-trust"}},
		notes:   []string{firefox, "The distribution's Java follows; a Java of another origin has its own store."},
	},
	{
		name: "Arch", sign: "/etc/ca-certificates/trust-source/anchors", dir: "/etc/ca-certificates/trust-source/anchors",
		install: []string{"update-ca-trust"},
		remove:  [][]string{{"update-ca-trust"}},
		notes:   []string{firefox, "The distribution's Java follows; a Java of another origin has its own store."},
	},
	{
		name: "SUSE", sign: "/etc/pki/trust/anchors", dir: "/etc/pki/trust/anchors",
		install: []string{"update-ca-certificates"},
		remove:  [][]string{{"update-ca-certificates"}},
		notes:   []string{firefox, "The distribution's Java follows; a Java of another origin has its own store."},
	},
	{
		name: "macOS", sign: keychain,
		install: []string{"security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", keychain, "{file}"},
		remove: [][]string{
			{"security", "remove-trusted-cert", "-d", "{file}"},
			{"security", "delete-certificate", "-Z", "{hex}", keychain},
		},
		notes: []string{"Firefox follows the system. Java has its own store: `cairn trust` shows the command."},
	},
}

const firefox = "Firefox and Chrome have stores of their own on Linux: `cairn trust` shows how to add the root there."

// Install makes the machine trust root. Doing it twice does no harm.
// When the machine's program fails, what Install had put there is gone again.
func (s *Store) Install(ctx context.Context, root *x509.Certificate) (Change, error) {
	if !root.IsCA || !root.BasicConstraintsValid {
		return Change{}, fmt.Errorf("trusting %q: it is not the certificate of an authority", root.Subject)
	}
	sys, err := s.detect()
	if err != nil {
		return Change{}, err
	}
	change := Change{System: sys.name, Notes: sys.notes}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
	if sys.dir == "" {
		change.Changed = true
		return change, s.withFile(text, func(file string) error {
			return s.run(ctx, sys.install, file, root)
		})
	}
	change.File = s.file(sys, root)
	old, err := os.ReadFile(change.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Change{}, s.explain(err)
	}
	change.Changed = !bytes.Equal(old, text)
	if change.Changed {
		if err := replace(change.File, text); err != nil {
			return Change{}, s.explain(err)
		}
	}
	// Also when the file was there: an earlier run may have ended before this.
	if err := s.run(ctx, sys.install, change.File, root); err != nil {
		if change.Changed {
			err = errors.Join(err, os.Remove(change.File))
		}
		return Change{}, err
	}
	return change, nil
}

// Uninstall makes the machine forget root: it takes away what Install put
// there, and nothing else. Doing it twice does no harm.
func (s *Store) Uninstall(ctx context.Context, root *x509.Certificate) (Change, error) {
	sys, err := s.detect()
	if err != nil {
		return Change{}, err
	}
	change := Change{System: sys.name, Notes: sys.notes}
	forget := func(file string) error {
		for _, command := range sys.remove {
			if err := s.run(ctx, command, file, root); err != nil {
				return err
			}
		}
		return nil
	}
	if sys.dir == "" {
		change.Changed = true
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
		return change, s.withFile(text, forget)
	}
	change.File = s.file(sys, root)
	switch err := os.Remove(change.File); {
	case err == nil:
		change.Changed = true
	case !errors.Is(err, fs.ErrNotExist):
		return Change{}, s.explain(err)
	}
	// Also when the file was gone: an earlier run may have ended before this.
	return change, forget(change.File)
}

// file is where root's certificate goes; the fingerprint in its name makes it ours alone.
func (s *Store) file(sys system, root *x509.Certificate) string {
	return filepath.Join(s.config.Prefix, sys.dir, "cairn-"+Fingerprint(root)+".crt")
}

// detect finds the row of the machine, and says so early if this process may not change it.
func (s *Store) detect() (system, error) {
	if s.config.Prefix == "" && os.Geteuid() != 0 {
		return system{}, s.explain(fs.ErrPermission)
	}
	for _, sys := range systems {
		switch _, err := os.Stat(filepath.Join(s.config.Prefix, sys.sign)); {
		case err == nil:
			return sys, nil
		case !errors.Is(err, fs.ErrNotExist):
			return system{}, s.explain(err)
		}
	}
	return system{}, ErrUnknownSystem
}

// run runs one of the machine's programs.
func (s *Store) run(ctx context.Context, command []string, file string, root *x509.Certificate) error {
	program, err := s.lookUp(command[0])
	if err != nil {
		return err
	}
	fill := strings.NewReplacer("{file}", file, "{hex}", strings.ToUpper(Fingerprint(root))).Replace
	args := slices.Clone(command[1:])
	for i := range args {
		args[i] = fill(args[i])
	}
	ctx, cancel := context.WithTimeout(ctx, refreshTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = 5 * time.Second // a child of it may hold the output open
	output, err := cmd.CombinedOutput()
	if err != nil {
		const most = 2000
		output = bytes.TrimSpace(output[max(0, len(output)-most):])
		return fmt.Errorf("running %s: %w: %s", strings.Join(cmd.Args, " "), err, output)
	}
	return nil
}

func (s *Store) lookUp(program string) (string, error) {
	for _, dir := range s.config.Programs {
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not in %s: install the package that brings it (mostly ca-certificates)",
		program, strings.Join(s.config.Programs, ", "))
}

// explain adds to a refusal for lack of rights what to do about it.
func (s *Store) explain(err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("changing the trust store: %w", err)
	}
	return fmt.Errorf("%w (%w): run `sudo %s`", ErrPermission, err, cmp.Or(s.config.Command, "cairn trust …"))
}

// withFile calls do with a file that holds text and is gone afterwards.
func (s *Store) withFile(text []byte, do func(file string) error) error {
	dir, err := os.MkdirTemp("", "cairn-trust-")
	if err != nil {
		return fmt.Errorf("changing the trust store: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "root.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return fmt.Errorf("changing the trust store: %w", err)
	}
	return do(file)
}

// replace puts text at file in one step. The name it has until then begins with
// a dot and ends otherwise, so that no program takes a part for a certificate.
func replace(file string, text []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(file), ".cairn-*.new")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(text)
	// Everybody may read whom the machine trusts.
	if err = errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), file)
}
