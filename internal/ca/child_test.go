package ca_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
)

// childVariable tells this test's own program to be an authority that dies; see authorityThatDies.
const childVariable = "CAIRN_TEST_CHILD"

func TestMain(m *testing.M) {
	if arguments := os.Getenv(childVariable); arguments != "" {
		authorityThatDies(strings.Split(arguments, "\n"))
	}
	os.Exit(m.Run())
}

// child is an authority in a process of its own.
type child struct {
	*exec.Cmd
	stdout io.Reader
}

// startChild starts an authority at p that f kills.
func startChild(t *testing.T, p place, f *failure) *child {
	t.Helper()
	hosts := p.config(t, f).HostsFile
	c := &child{Cmd: exec.Command(os.Args[0])}
	arguments := []string{p.dir, p.listen, p.http, strconv.Itoa(p.http01Port), f.step, f.fault, strconv.FormatBool(f.own), hosts}
	c.Env = append(os.Environ(), childVariable+"="+strings.Join(arguments, "\n"))
	c.Stderr = t.Output()
	var err error
	if c.stdout, err = c.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	return c
}

// waitUntilReady returns once the authority listens.
func (c *child) waitUntilReady(t *testing.T) {
	t.Helper()
	if n, err := c.stdout.Read(make([]byte, 1)); n != 1 {
		t.Fatalf("the child did not start: %v", err)
	}
}

// authorityThatDies is the child's program.
func authorityThatDies(arguments []string) {
	port, _ := strconv.Atoi(arguments[3])
	f := &failure{step: arguments[4], fault: arguments[5], own: arguments[6] == "true"}
	authority, err := catest.Open(context.Background(), ca.Config{
		Dir: arguments[0], Listen: arguments[1], HTTP: arguments[2], HTTP01Port: port,
		HostsFile: arguments[7], ResolvConf: os.DevNull, Machine: catest.Machine, Seams: f.seams(),
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(".")
	fmt.Fprintln(os.Stderr, authority.Serve(context.Background()))
	os.Exit(1)
}

// freeAddresses finds two addresses that stay free until the test listens there. They are on
// a loopback address of the test's own: on 127.0.0.1 somebody else gets the port meanwhile.
func freeAddresses(t testing.TB) (one, other string) {
	t.Helper()
	h := fnv.New32a()
	fmt.Fprint(h, t.Name(), os.Getpid())
	own := h.Sum(nil)
	host := fmt.Sprintf("127.%d.%d.%d:0", 1+own[0]%254, own[1], 1+own[2]%254)
	var found [2]string
	for i := range found {
		l, err := net.Listen("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		found[i] = l.Addr().String()
	}
	return found[0], found[1]
}
