package pebbletest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// stepVersion is the step-ca that is built where none is installed.
const stepVersion = "v0.30.2"

// stepCA finds step-ca in PATH, or else builds it once, beside Go's build cache.
var stepCA = sync.OnceValues(func() (string, error) {
	return program("step-ca", "github.com/smallstep/certificates/cmd/step-ca", stepVersion)
})

// StartStepCA runs step-ca, an ACME server that is neither Pebble nor Cairn, with its files in
// directory, until Stop. It remembers in Badger, and issues below a root of its own, which is Bundle.
func StartStepCA(directory string) (*Server, error) {
	path, err := stepCA()
	if err != nil {
		return nil, err
	}
	if err := writeStepHierarchy(directory); err != nil {
		return nil, fmt.Errorf("making a hierarchy for step-ca: %w", err)
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	s := &Server{
		Directory: fmt.Sprintf("https://localhost:%d/acme/acme/directory", ports[0]),
		Bundle:    filepath.Join(directory, "root.pem"), HTTPPort: ports[1],
		exited: make(chan error, 1), output: new(output),
	}
	resolver, err := s.resolveOverUDP()
	if err != nil {
		return nil, err
	}
	listen := "127.0.0.1:" + strconv.Itoa(ports[0])
	config, err := json.Marshal(map[string]any{
		"root": s.Bundle, "crt": filepath.Join(directory, "issuer.pem"), "key": filepath.Join(directory, "issuer.key"),
		"address": listen, "dnsNames": []string{"localhost"}, "logger": map[string]any{"format": "text"},
		"db":        map[string]any{"type": "badgerv2", "dataSource": filepath.Join(directory, "db")},
		"authority": map[string]any{"provisioners": []any{map[string]any{"type": "ACME", "name": "acme"}}},
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(directory, "ca.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, err
	}
	s.command = exec.Command(path, file, "--resolver", resolver, "--insecure", "--acme-http-port", strconv.Itoa(s.HTTPPort))
	s.command.Env = append(s.command.Environ(), "STEPPATH="+directory)
	s.command.Stdout, s.command.Stderr = s.output, s.output
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	go func() { s.exited <- s.command.Wait() }()
	if err := s.await(listen); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// resolveOverUDP is resolve for who asks over UDP.
func (s *Server) resolveOverUDP() (string, error) {
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	started := make(chan struct{})
	s.dns = &dns.Server{PacketConn: socket, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(s.answer)}
	go func() { _ = s.dns.ActivateAndServe() }() // ends with Shutdown
	<-started
	return socket.LocalAddr().String(), nil
}

// writeStepHierarchy makes a root, and an issuer below it.
func writeStepHierarchy(directory string) error {
	root := authority("step root", 1)
	rootKey, err := writeAuthority(filepath.Join(directory, "root"), root, root, nil)
	if err != nil {
		return err
	}
	issuer := authority("step issuer", 2)
	issuer.MaxPathLenZero = true
	_, err = writeAuthority(filepath.Join(directory, "issuer"), issuer, root, rootKey)
	return err
}

func authority(name string, serial int64) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// writeAuthority writes path.pem and path.key. Without a parent's key the certificate signs itself.
func writeAuthority(path string, template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if parentKey == nil {
		parentKey = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return nil, err
	}
	return key, os.WriteFile(path+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)
}

// program finds a program in PATH, or else builds package@version once, beside Go's build cache.
func program(name, source, version string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return "", fmt.Errorf("finding a place for %s: %w", name, err)
	}
	directory := filepath.Join(strings.TrimSpace(string(cache)), "cairn-"+name+"-"+version)
	path := filepath.Join(directory, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	build := exec.Command("go", "install", source+"@"+version)
	build.Env = append(build.Environ(), "GOBIN="+directory, "GOFLAGS=-mod=mod", "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", name, err, text)
	}
	return path, nil
}
