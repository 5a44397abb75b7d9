package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// impostor is a web server that answers everything with a page of its own.
func impostor() {
	err := http.ListenAndServe(os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "secret page of somebody else")
	}))
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// liar is a perspective that has joined and says what it likes: liar DIR yes|no.
func liar() {
	host, err := roles.OpenHost(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	name, rir, _ := host.Name()
	var server rpc.Server
	validate.Serve(&server, validate.ServeConfig{Vantage: lie{yes: os.Args[2] == "yes"}, Place: validate.Place{Name: name, RIR: rir}})
	rpc.Handle(&server, "health", func(context.Context, struct{}) (ca.Health, error) { return ca.Health{Version: "liar"}, nil })
	listener, err := tls.Listen("tcp", ":9443", host.Identity().ServerConfig(rpc.Expect{Role: rpc.RoleAuthority}))
	if err == nil {
		err = http.Serve(listener, &server)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// lie is a Vantage that never looks.
type lie struct{ yes bool }

func (l lie) say() (validate.Result, error) {
	if l.yes {
		return validate.Result{Seen: "a lie"}, nil
	}
	return validate.Result{Problem: acme.Problemf(acme.TypeUnauthorized, "\x1b[31mno\n")}, nil
}

func (l lie) Prove(context.Context, validate.Request) (validate.Result, error)  { return l.say() }
func (l lie) CAA(context.Context, validate.CAARequest) (validate.Result, error) { return l.say() }
