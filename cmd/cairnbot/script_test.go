package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cairn-ca/cairn/internal/bot/dns/dnstest"
	"github.com/cairn-ca/cairn/internal/freeport"
	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// start is main without /etc/letsencrypt/cli.ini, which is this machine's.
func start() { os.Exit(begin(usualConfig(os.Getenv)[1:])) }

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "certbot" { // TestOracle's link to this program
		main()
		return
	}
	// Most of these tests wait for others most of the time: renewals for servers to reload, DNS servers for each other.
	if err := flag.Set("test.parallel", strconv.Itoa(3*runtime.GOMAXPROCS(0))); err != nil { // -parallel comes later, and wins
		panic(err)
	}
	testscript.Main(m, map[string]func(){
		"cairnbot": start,
		"killer":   killer,
		// bot is cairnbot with the options that keep it inside a script's directory, and renew from sleeping.
		"bot": func() {
			dir := os.Getenv("WORK")
			os.Args = slices.Insert(os.Args, 1, "--config-dir", filepath.Join(dir, "etc"), "--work-dir", filepath.Join(dir, "lib"),
				"--logs-dir", filepath.Join(dir, "log"))
			if slices.Contains(os.Args, "renew") {
				os.Args = append(os.Args, "--no-random-sleep-on-renew")
			}
			start()
		},
	})
}

// TestScripts runs testdata/script/*.txt against Pebble. Beside the usual commands they have
//
//	pebble [SETTING|-FLAG ...] starts Pebble and sets SERVER, BUNDLE, PORT (for http-01), TLSPORT (for tls-alpn-01) and RECORDS (a directory of TXT records)
//	dns ZONE            starts a part of the DNS before Pebble, and sets RESOLVER and DNSAPI (for --dns httpreq)
//	record ZONE NAME FILE   gives the zone a TXT record
//	norecord ZONE NAME  checks that there is none
//	stepca              the same with step-ca
//	freeport NAME       sets NAME to a port that nobody listens on
//	takeport NAME       the same, and listens on it
//	serve DIR PORT      serves the files of DIR over HTTP
//	servetls DIR PORT   serves TLS with the certificate in DIR as it is now, and as it is again once there is a file reload
//	notified            listens where a service manager would (NOTIFY_SOCKET)
//	heard STATE...      waits until it has been told something that begins so, after what was waited for before
//	handover PORT CMD...  runs a command with that port open, as systemd hands sockets over
//	hang PORT           accepts connections and says nothing
//	unhang PORT         ends that
//	mode MODE FILE...   checks permissions, such as 0600
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			for _, name := range []string{"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPS_PROXY", "https_proxy"} {
				e.Setenv(name, "")
			}
			e.Values[hanging{}] = make(map[string]func())
			e.Values[manager{}] = make(map[string]<-chan string)
			e.Values[zones{}] = make(map[string]*dnstest.Zone)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"dns": startDNS, "record": record, "norecord": norecord,
			"pebble": startPebble, "stepca": startStepCA, "freeport": freePort, "takeport": takePort, "serve": serve, "servetls": serveTLS, "handover": handOver, "notified": notified, "heard": heard, "hang": hang, "unhang": unhang, "mode": mode,
			"schema": checkSchema,
		},
	})
}

func startPebble(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs("pebble")
	ts.Check(os.MkdirAll(dir, 0o755))
	config := pebbletest.Config{Directory: dir, Environment: []string{"PEBBLE_AUTHZREUSE=0"}} // names that fail must fail every time
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") {
			config.Arguments = append(config.Arguments, arg)
		} else {
			config.Environment = append(config.Environment, arg)
		}
	}
	if resolver := ts.Getenv("RESOLVER"); resolver != "" {
		config.Arguments = append(config.Arguments, "-dnsserver", resolver)
	}
	pebble, err := pebbletest.StartConfig(config)
	ts.Check(err)
	useServer(ts, pebble)
}

func startStepCA(ts *testscript.TestScript, _ bool, _ []string) {
	dir := ts.MkAbs("stepca")
	ts.Check(os.MkdirAll(dir, 0o755))
	server, err := pebbletest.StartStepCA(dir)
	ts.Check(err)
	useServer(ts, server)
}

// useServer makes server the CA of a script.
func useServer(ts *testscript.TestScript, server *pebbletest.Server) {
	ts.Defer(func() {
		server.Stop()
		ts.Logf("%s", server.Log())
	})
	ts.Setenv("SERVER", server.Directory)
	ts.Setenv("BUNDLE", server.Bundle)
	ts.Setenv("PORT", strconv.Itoa(server.HTTPPort))
	ts.Setenv("TLSPORT", strconv.Itoa(server.TLSPort))
	ts.Setenv("RECORDS", server.Records)
}

func listen(ts *testscript.TestScript, address, name string) net.Listener {
	listener, err := net.Listen("tcp", address)
	ts.Check(err)
	if name != "" {
		ts.Setenv(name, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	}
	return listener
}

func freePort(ts *testscript.TestScript, _ bool, args []string) {
	port, err := freeport.Find()
	ts.Check(err)
	ts.Setenv(args[0], strconv.Itoa(port))
}

func takePort(ts *testscript.TestScript, _ bool, args []string) {
	listener := listen(ts, ":0", args[0])
	ts.Defer(func() { _ = listener.Close() })
}

func serve(ts *testscript.TestScript, _ bool, args []string) {
	server := &http.Server{Handler: http.FileServer(http.Dir(ts.MkAbs(args[0])))}
	listener := listen(ts, "127.0.0.1:"+args[1], "")
	go func() { _ = server.Serve(listener) }() // ends with Close
	ts.Defer(func() { _ = server.Close() })
}

// serveTLS is a server that has to be told of a new certificate, as most have.
func serveTLS(ts *testscript.TestScript, _ bool, args []string) {
	load := func() *tls.Certificate {
		certificate, err := tls.LoadX509KeyPair(ts.MkAbs(args[0]+"/fullchain.pem"), ts.MkAbs(args[0]+"/privkey.pem"))
		ts.Check(err)
		return &certificate
	}
	reload := ts.MkAbs("reload")
	var current atomic.Pointer[tls.Certificate]
	current.Store(load())
	listener := tls.NewListener(listen(ts, "127.0.0.1:"+args[1], ""), &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if os.Remove(reload) == nil {
				current.Store(load())
			}
			return current.Load(), nil
		},
	})
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0)} // those who only look hang up
	go func() { _ = server.Serve(listener) }()                   // ends with Close
	ts.Defer(func() { _ = server.Close() })
}

// handOver keeps the port open: the command could not open it itself.
func handOver(ts *testscript.TestScript, _ bool, args []string) {
	listener := listen(ts, ":"+args[0], "")
	defer listener.Close()
	file, err := listener.(*net.TCPListener).File()
	ts.Check(err)
	defer file.Close()
	command := exec.Command("sh", append([]string{"-c", `export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"`, "sh"}, args[1:]...)...)
	for _, name := range []string{"PATH", "WORK", "TMPDIR"} {
		command.Env = append(command.Env, name+"="+ts.Getenv(name))
	}
	command.Dir, command.ExtraFiles = ts.MkAbs("."), []*os.File{file}
	output, err := command.CombinedOutput()
	ts.Logf("%s", output)
	ts.Check(err)
}

// manager is the key of what a service manager is told.
type manager struct{}

func notified(ts *testscript.TestScript, _ bool, _ []string) {
	path := ts.MkAbs("notify.sock")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	ts.Check(err)
	ts.Setenv("NOTIFY_SOCKET", path)
	states := make(chan string, 1000)
	go func() {
		defer close(states)
		message := make([]byte, 4096)
		for {
			n, err := socket.Read(message)
			if err != nil {
				return
			}
			for state := range strings.Lines(string(message[:n])) {
				states <- strings.TrimSpace(state)
			}
		}
	}()
	ts.Defer(func() { _ = socket.Close() })
	ts.Value(manager{}).(map[string]<-chan string)[""] = states
}

func heard(ts *testscript.TestScript, _ bool, args []string) {
	states := ts.Value(manager{}).(map[string]<-chan string)[""]
	limit := time.After(time.Minute)
	for _, want := range args {
		for {
			var state string
			select {
			case state = <-states:
			case <-limit:
				ts.Fatalf("not told %s", want)
			}
			ts.Logf("told %s", state)
			if strings.HasPrefix(state, want) {
				break
			}
		}
	}
}

func hang(ts *testscript.TestScript, _ bool, args []string) {
	listener := listen(ts, "127.0.0.1:"+args[0], "")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	stop := func() {
		_ = listener.Close()
		<-ended
	}
	ts.Value(hanging{}).(map[string]func())[args[0]] = stop
	ts.Defer(stop)
}

// hanging is the key of what ends each hang, by port.
type hanging struct{}

func unhang(ts *testscript.TestScript, _ bool, args []string) {
	ts.Value(hanging{}).(map[string]func())[args[0]]()
}

func mode(ts *testscript.TestScript, neg bool, args []string) {
	for _, file := range args[1:] {
		info, err := os.Lstat(ts.MkAbs(file))
		ts.Check(err)
		if got := fmt.Sprintf("%04o", info.Mode().Perm()); (got == args[0]) == neg {
			ts.Fatalf("%s has mode %s", file, got)
		}
	}
}
