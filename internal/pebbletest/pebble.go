// Package pebbletest runs Pebble, Let's Encrypt's ACME server for tests, for
// tests of ours: a server that shares no line with Cairn. Nonces are refused at
// Pebble's default rate. Every name resolves to 127.0.0.1. StartStepCA runs step-ca
// in the same way, for a third opinion.
package pebbletest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/freeport"
)

// version is the Pebble that is built where none is installed.
const version = "v2.10.1"

// Server is a running Pebble.
type Server struct {
	Directory string // its URL
	Bundle    string // a PEM file with the certificate of its listener
	HTTPPort  int    // where it looks for http-01 challenges
	TLSPort   int    // where it looks for tls-alpn-01 challenges
	// Records is a directory for TXT records: a file has the name, in lower case, and a value in each line.
	Records string
	Roots   string // the URL of its issuing root, in PEM
	// Management is the https://HOST:PORT of its management interface.
	Management string

	command *exec.Cmd
	exited  chan error
	dns     *dns.Server
	output  *output
}

// output collects what Pebble writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// programs are those of Pebble's module.
var programs = map[string]func() (string, error){
	"pebble":              sync.OnceValues(func() (string, error) { return find("pebble") }),
	"pebble-challtestsrv": sync.OnceValues(func() (string, error) { return find("pebble-challtestsrv") }),
}

// Program finds pebble or pebble-challtestsrv in PATH, or else builds it once, beside Go's build cache.
func Program(name string) (string, error) {
	if program, ok := programs[name]; ok {
		return program()
	}
	return "", fmt.Errorf("pebble has no program %q", name)
}

func find(name string) (string, error) {
	return program(name, "github.com/letsencrypt/pebble/v2/cmd/"+name, version)
}

// Start runs Pebble with its files in directory, until Stop. Settings such as
// "PEBBLE_AUTHZREUSE=0" change what it does by default.
func Start(directory string, settings ...string) (*Server, error) {
	return StartConfig(Config{Directory: directory, Environment: settings})
}

// Config says which Pebble is run, and how. Directory is required.
type Config struct {
	Directory   string         // for its files
	Program     []string       // with its first arguments; none means Pebble itself
	Environment []string       // "NAME=VALUE" each, beside the test's own
	Arguments   []string       // beside those that are always there
	Members     map[string]any // of the configuration, beside those that are always there
	Cairn       map[string]any // what the configuration has for Cairn alone
}

// StartConfig runs Pebble, or a program that takes its place, until Stop.
func StartConfig(c Config) (*Server, error) {
	for try := 1; ; try++ {
		s, err := start(c)
		// A port that was free may be taken by the time that Pebble listens.
		if err == nil || try == maxTries || !strings.Contains(err.Error(), "address already in use") {
			return s, err
		}
	}
}

// maxTries is how often Pebble is started where a port is taken.
const maxTries = 5

// start starts it once.
func start(c Config) (*Server, error) {
	if len(c.Program) == 0 {
		path, err := Program("pebble")
		if err != nil {
			return nil, err
		}
		c.Program = []string{path}
	}
	directory := c.Directory
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	listen, management := fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	s := &Server{
		Directory:  "https://" + listen + "/dir",
		Roots:      "https://" + management + "/roots/0",
		Management: "https://" + management,
		Bundle:     filepath.Join(directory, "pebble.pem"),
		HTTPPort:   ports[2],
		TLSPort:    ports[3],
		Records:    filepath.Join(directory, "records"),
		exited:     make(chan error, 1),
		output:     new(output),
	}
	if err := writeCertificate(s.Bundle, filepath.Join(directory, "pebble-key.pem")); err != nil {
		return nil, err
	}
	members := map[string]any{
		"listenAddress": listen, "managementListenAddress": management,
		"certificate": s.Bundle, "privateKey": filepath.Join(directory, "pebble-key.pem"),
		"httpPort": s.HTTPPort, "tlsPort": s.TLSPort, "keyAlgorithm": "ecdsa",
		"domainBlocklist": []string{"blocked-domain.example"},
	}
	maps.Copy(members, c.Members)
	config, err := json.Marshal(map[string]any{"pebble": members, "cairn": c.Cairn})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(directory, "pebble.json"), config, 0o600); err != nil {
		return nil, err
	}
	resolver, err := s.resolve()
	if err != nil {
		return nil, err
	}
	s.command = exec.Command(c.Program[0], slices.Concat(c.Program[1:], []string{"-config", filepath.Join(directory, "pebble.json"), "-dnsserver", resolver}, c.Arguments)...)
	s.command.Env = append(append(s.command.Environ(), "PEBBLE_VA_NOSLEEP=1"), c.Environment...)
	s.command.Stdout, s.command.Stderr = s.output, s.output
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	go func() { s.exited <- s.command.Wait() }()
	if err := s.await(listen, management); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// await returns when both listeners accept connections.
func (s *Server) await(addresses ...string) error {
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for len(addresses) > 0 {
		conn, err := net.Dial("tcp", addresses[0])
		if err == nil {
			_ = conn.Close()
			addresses = addresses[1:]
			continue
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("the server does not listen:\n%s", s.output)
		case err := <-s.exited:
			s.exited <- err
			return fmt.Errorf("the server ended: %w\n%s", err, s.output)
		}
	}
	return nil
}

// Stop ends Pebble and everything it has issued.
func (s *Server) Stop() {
	_ = s.command.Process.Kill() // it may have ended
	<-s.exited
	_ = s.dns.Shutdown()
}

// End asks Pebble to end, and waits until it has. Stop is to be called all the same.
func (s *Server) End() {
	_ = s.command.Process.Signal(os.Interrupt) // it may have ended
	s.exited <- <-s.exited
}

// Log is what Pebble has written so far.
func (s *Server) Log() string { return s.output.String() }

// resolve runs a DNS server for which every name is this machine, and returns its address.
func (s *Server) resolve() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // Pebble asks by TCP alone
	if err != nil {
		return "", err
	}
	started := make(chan struct{})
	s.dns = &dns.Server{Listener: listener, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(s.answer)}
	go func() { _ = s.dns.ActivateAndServe() }() // ends with Shutdown
	<-started
	return listener.Addr().String(), nil
}

func (s *Server) answer(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg).SetReply(query)
	for _, q := range query.Question {
		header := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET}
		switch {
		case q.Qtype == dns.TypeA:
			reply.Answer = append(reply.Answer, &dns.A{Hdr: header, A: netip.MustParseAddr("127.0.0.1").AsSlice()})
		case q.Qtype == dns.TypeTXT && s.Records != "":
			text, err := os.ReadFile(filepath.Join(s.Records, strings.ToLower(strings.TrimSuffix(q.Name, "."))))
			if err != nil {
				continue // there is none
			}
			for value := range strings.FieldsSeq(string(text)) {
				reply.Answer = append(reply.Answer, &dns.TXT{Hdr: header, Txt: []string{value}})
			}
		}
	}
	_ = w.WriteMsg(reply) // who asked asks again
}

// freePorts finds ports that nobody listens on at the moment.
func freePorts(n int) ([]int, error) {
	var ports []int
	for len(ports) < n {
		port, err := freeport.Find()
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	return ports, nil
}

// writeCertificate makes a self-signed certificate for 127.0.0.1 and localhost.
func writeCertificate(certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pebble"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)
}
