// Command page is what scripts/demo needs of other programs and cannot count on: a
// web server, a client that verifies it, and a port that nobody uses.
//
//	page port                       prints a free TCP port of this machine
//	page serve CHAIN KEY TEXT       serves TEXT over HTTPS on loopback; prints its port, runs until killed
//	page fetch ROOT NAME PORT       prints the page of https://NAME/, asked on loopback, verified against ROOT
//
// It lies under testdata because it is no part of the product.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "page: error: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "port":
		return port()
	case len(args) == 4 && args[0] == "serve":
		return serve(args[1], args[2], args[3])
	case len(args) == 4 && args[0] == "fetch":
		return fetch(args[1], args[2], args[3])
	default:
		return errors.New("usage: page port | serve CHAIN KEY TEXT | fetch ROOT NAME PORT")
	}
}

// port asks the system for a port that is free on every address.
func port() error {
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		return err
	}
	defer listener.Close()
	return printPort(listener)
}

func printPort(listener net.Listener) error {
	_, err := fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	return err
}

func serve(chain, key, text string) error {
	pair, err := tls.LoadX509KeyPair(chain, key)
	if err != nil {
		return fmt.Errorf("loading the certificate: %w", err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		return err
	}
	if err := printPort(listener); err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, text) })}
	return server.Serve(listener)
}

func fetch(root, name, port string) error {
	text, err := os.ReadFile(root)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return fmt.Errorf("%s is not a certificate in PEM", root)
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
	}}
	response, err := client.Get("https://" + name + "/")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the server says %s", response.Status)
	}
	_, err = io.Copy(os.Stdout, io.LimitReader(response.Body, 1<<20))
	return err
}
