package ca_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca"
)

// TestNamesInTheHostsFile: only a line that names this machine, for an address of
// it, gives it a full name. What it gives goes into the root's name constraints.
func TestNamesInTheHostsFile(t *testing.T) {
	machine := ca.Machine{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.7")}}
	tests := []struct {
		name, hosts string
		want        []string
	}{
		{"as Debian writes it", "127.0.0.1 localhost\n127.0.1.1\tbox.corp.lan box\n", []string{"box.corp.lan"}},
		{"the short name first", "10.0.0.7 box box.corp.lan", []string{"box.corp.lan"}},
		{"capitals and a comment", "10.0.0.7 BOX Box.Corp.Lan # box.other.lan", []string{"box.corp.lan"}},
		{"a block list", "0.0.0.0 box.google.com\n0.0.0.0 box.example.org box.example.com\n", nil},
		{"a block list that has the host, too", "0.0.0.0 box box.google.com\n:: box box.google.com", nil},
		{"a block list on loopback", "127.0.0.1 box.google.com\n127.0.0.1 localhost box.example.org", nil},
		{"another machine's address", "10.0.0.8 box.corp.lan box", nil},
		{"no address", "box.corp.lan box box.corp.lan", nil},
		{"a name that only begins like it", "10.0.0.7 box boxes.corp.lan box-2.corp.lan", nil},
		{"nothing", "", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := machine.FullNames(strings.NewReader(test.hosts), "box"); !slices.Equal(got, test.want) {
				t.Errorf("%q gives %q, want %q", test.hosts, got, test.want)
			}
		})
	}
}

// TestBlockListGivesNoNames asks the system for its name, and puts that into a block list.
func TestBlockListGivesNoNames(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "hosts")
	list := "0.0.0.0 " + host + ".google.com\n127.0.0.1 " + host + ".example.org\n"
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	with, err := ca.ThisMachine(file)
	if err != nil {
		t.Fatal(err)
	}
	without, err := ca.ThisMachine(filepath.Join(t.TempDir(), "none"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(with.Names, without.Names) {
		t.Errorf("with the list the machine is called %q, without it %q", with.Names, without.Names)
	}
}
