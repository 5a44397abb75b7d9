package main

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write what TestClients shows into docs/clients.md")

// clientsPage has the table of what TestClients shows, between two marks.
const clientsPage = "../../docs/clients.md"

// feature is a column of the table.
type feature string

// features are the columns in their order. A client's script says of each of the first
// five that it was shown or why it cannot be; the others may stay open.
var features = []feature{
	"http-01", "dns-01", "tls-alpn-01", "renew", "revoke",
	"wildcard", "address", "key change", "deactivate", "EAB", "ARI", "profile",
}

const featuresAsked = 5

// TestClients runs other people's ACME clients against `cairn up`, and compares what
// they have shown with the table in docs/clients.md. With -update it writes the table.
func TestClients(t *testing.T) {
	m := &matrix{rows: make(map[string]*clientRow), writing: make(map[*testscript.TestScript]*clientRow)}
	commands := map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"client":     m.client,
		"shown":      m.shown,
		"lacks":      m.lacks,
		"alpnserver": alpnServer,
		"fill":       fill,
		"eab-key":    eabKey,
	}
	t.Run("with", func(t *testing.T) { testscript.Run(t, scripts("testdata/clients", commands)) })
	if t.Failed() {
		return
	}
	// `go test -run TestClients/with/lego` looks at that one only.
	whole := !strings.Contains(flag.Lookup("test.run").Value.String(), "/")
	page, err := os.ReadFile(clientsPage)
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.page(page, whole)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(clientsPage, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(withoutVersions(page), withoutVersions(want)) {
		t.Errorf("%s is not what was shown: go test ./cmd/cairn -run TestClients -update\nwant:\n%s", clientsPage, want)
	}
}

// clientRow is one client's line: for each feature "yes", or why not.
type clientRow struct {
	name, version string
	cells         map[feature]string
}

// matrix collects what scripts show, which run at the same time.
type matrix struct {
	mu      sync.Mutex
	rows    map[string]*clientRow
	writing map[*testscript.TestScript]*clientRow
}

// client NAME PATTERN: what follows is about this client, whose version stands where
// PATTERN's group matches the standard output of the last program.
func (m *matrix) client(ts *testscript.TestScript, _ bool, args []string) {
	match := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout") + ts.ReadFile("stderr"))
	if len(match) != 2 {
		ts.Fatalf("%s does not match the last output: what is the version of %s?", args[1], args[0])
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	row := &clientRow{name: args[0], version: match[1], cells: make(map[feature]string)}
	if m.rows[row.name] != nil {
		ts.Fatalf("another script is about %s", row.name)
	}
	m.rows[row.name], m.writing[ts] = row, row
}

// shown FEATURE...: the program has just done this.
func (m *matrix) shown(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		m.set(ts, name, "yes")
	}
}

// lacks FEATURE REASON: the program has no way to do this.
func (m *matrix) lacks(ts *testscript.TestScript, _ bool, args []string) {
	m.set(ts, args[0], args[1])
}

func (m *matrix) set(ts *testscript.TestScript, name, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row := m.writing[ts]
	if row == nil || !slices.Contains(features, feature(name)) {
		ts.Fatalf("%q is no feature, or `client` has not said whose", name)
	}
	row.cells[feature(name)] = value
}

var tableMarks = regexp.MustCompile(`(?s)(<!-- from here on by TestClients -->\n).*(<!-- up to here by TestClients -->\n)`)

// page returns the page with the table of this run. Without whole, the lines of clients
// that did not run are kept.
func (m *matrix) page(old []byte, whole bool) ([]byte, error) {
	marks := tableMarks.FindSubmatchIndex(old)
	if marks == nil {
		return nil, fmt.Errorf("%s has no marks around the table", clientsPage)
	}
	lines, reasons := []string{}, []string{}
	if !whole {
		lines, reasons = m.kept(string(old[marks[3]:marks[4]]))
	}
	for _, row := range m.rows {
		line, why, err := row.lines()
		if err != nil {
			return nil, err
		}
		lines, reasons = append(lines, line), append(reasons, why...)
	}
	byName := func(a, b string) int { return cmp.Compare(strings.ToLower(a), strings.ToLower(b)) }
	slices.SortFunc(lines, byName)
	slices.SortStableFunc(reasons, byName)
	var b bytes.Buffer
	b.Write(old[:marks[3]])
	fmt.Fprint(&b, "| client | version |")
	for _, f := range features {
		fmt.Fprintf(&b, " %s |", f)
	}
	fmt.Fprintf(&b, "\n|---|---|%s\n%s\n", strings.Repeat("---|", len(features)), strings.Join(lines, "\n"))
	fmt.Fprintf(&b, "\n%s\n", strings.Join(reasons, "\n"))
	b.Write(old[marks[4]:])
	return b.Bytes(), nil
}

// kept returns the lines of a table, and of the list under it, about clients that did not run.
func (m *matrix) kept(table string) (lines, reasons []string) {
	for line := range strings.Lines(table) {
		line = strings.TrimSuffix(line, "\n")
		name, _, _ := strings.Cut(strings.TrimLeft(line, "|*- "), " |")
		name, _, _ = strings.Cut(name, ", ")
		switch {
		case m.rows[name] != nil, name == "client", name == "":
		case strings.HasPrefix(line, "| "):
			lines = append(lines, line)
		case strings.HasPrefix(line, "* "):
			reasons = append(reasons, line)
		}
	}
	return lines, reasons
}

// lines returns the line of the table, and the reasons of each "no" for the list under it.
func (r *clientRow) lines() (line string, reasons []string, err error) {
	line = fmt.Sprintf("| %s | %s |", r.name, r.version)
	for i, f := range features {
		cell := r.cells[f]
		switch {
		case cell == "" && i < featuresAsked:
			return "", nil, fmt.Errorf("the script about %s says nothing about %s: shown or lacks?", r.name, f)
		case cell != "" && cell != "yes":
			reasons = append(reasons, fmt.Sprintf("* %s, %s: %s", r.name, f, cell))
			cell = "no"
		}
		line += fmt.Sprintf(" %s |", cell)
	}
	return line, reasons, nil
}

// withoutVersions leaves out what differs from machine to machine.
func withoutVersions(page []byte) []byte {
	return regexp.MustCompile(`(?m)^(\| [^|]+ \|)[^|]+\|`).ReplaceAll(page, []byte("$1 |"))
}

// alpnserver DIR NAME: on a loopback port (that of $NAME if set, which is set otherwise)
// answers a TLS handshake for acme-tls/1 with DIR/SERVERNAME.crt.pem and .key.pem, which
// a client has put there for it.
func alpnServer(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	listener, err := tls.Listen("tcp", net.JoinHostPort("127.0.0.1", orZero(ts.Getenv(args[1]))), &tls.Config{
		NextProtos: []string{"acme-tls/1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			base := filepath.Join(dir, filepath.Base(hello.ServerName))
			pair, err := tls.LoadX509KeyPair(base+".crt.pem", base+".key.pem")
			return &pair, err
		},
	})
	ts.Check(err)
	ts.Defer(func() { _ = listener.Close() })
	ts.Setenv(args[1], strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = conn.(*tls.Conn).Handshake()
				_ = conn.Close()
			}()
		}
	}()
}

// fill FILE...: puts the values of the script's variables in place of $NAME and ${NAME}.
func fill(ts *testscript.TestScript, _ bool, args []string) {
	for _, file := range args {
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(os.Expand(ts.ReadFile(file), ts.Getenv)), 0o600))
	}
}

var eabWords = regexp.MustCompile(`kid\): +(\S+)\n.*base64url\): +(\S+)`)

// eab-key: makes a key for external account binding and sets $EAB_KID and $EAB_HMAC.
func eabKey(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(ts.Exec("cairn", "eab", "create", "--uses", "unlimited", "--data", ts.Getenv("DATA")))
	words := eabWords.FindStringSubmatch(ts.ReadFile("stdout"))
	if words == nil {
		ts.Fatalf("cairn eab create shows no key")
	}
	ts.Setenv("EAB_KID", words[1])
	ts.Setenv("EAB_HMAC", words[2])
}
