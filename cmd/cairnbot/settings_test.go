package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

func TestAnAccountIsForgottenOnlyWithItsServer(t *testing.T) {
	conf, err := lineage.ParseConf([]byte("[renewalparams]\naccount = 34ab\nserver = https://one/dir\n"))
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{"": "34ab", "--server https://one/dir": "34ab", "--server https://two/dir": "", "--account x": "x"} {
		_, o, err := process{}.parse(append([]string{"certonly"}, strings.Fields(args)...))
		if err != nil {
			t.Fatal(err)
		}
		s, err := o.settle(conf)
		if err != nil || s.params.Account != want {
			t.Errorf("%q: account %q, %v; want %q", args, s.params.Account, err, want)
		}
	}
}

func TestADetailIsSaidOnce(t *testing.T) {
	one := acme.Problemf(acme.TypeRejectedIdentifier, "the policy forbids it")
	one.Subproblems = []*acme.Problem{acme.Problemf(acme.TypeRejectedIdentifier, "the policy forbids it").About(acme.IdentifierFor("a.example"))}
	got := describe(fmt.Errorf("placing an order: %w", one))
	if want := "placing an order: rejectedIdentifier\n  Domain: a.example\n  Type:   rejectedIdentifier\n  Detail: the policy forbids it"; got != want {
		t.Errorf("got %q", got)
	}
}
