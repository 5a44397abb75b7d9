//go:build unix

package validate_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// TestNoDescriptors: an authority that has run out of descriptors could not ask, and nobody else is to blame.
func TestNoDescriptors(t *testing.T) {
	if os.Getenv("CAIRN_TEST_NO_DESCRIPTORS") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestNoDescriptors$", "-test.v")
		cmd.Env = append(os.Environ(), "CAIRN_TEST_NO_DESCRIPTORS=1")
		output, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(output), "could not ask") {
			t.Fatalf("%v\n%s", err, output)
		}
		return
	}
	resolver, err := validate.NewResolver(validate.ResolverConfig{HostsFile: os.DevNull, Servers: []string{"127.0.0.1:9"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := resolver.Lookup(t.Context(), "a.test"); err == nil { // with descriptors, and to read the hosts file
		t.Fatal("there is no such name")
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	_, err = resolver.Lookup(t.Context(), "a.test")
	_, txtErr := resolver.TXT(t.Context(), "a.test")
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{err, txtErr} {
		var problem *acme.Problem
		if err == nil || errors.As(err, &problem) || !errors.Is(err, syscall.EMFILE) {
			t.Errorf("without descriptors: %v", err)
		}
	}
	t.Log("could not ask")
}

// What is kept of a validation is bounded, whatever a DNS server says.
func TestEvidenceIsShortened(t *testing.T) {
	long := strings.Repeat("x", 200)
	var e validate.Evidence
	e.Started = time.Unix(1, 0).UTC()
	for range 11 {
		lookup := validate.Lookup{Name: long}
		for range 40 {
			lookup.Questions = append(lookup.Questions, validate.Question{Server: "10.0.0.53:53", Name: long, Answers: []string{long, long, long}})
		}
		e.Lookups = append(e.Lookups, lookup)
		e.Hops = append(e.Hops, validate.Hop{URL: "http://a.test/", Status: 302, First: long})
	}
	whole, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int]func(validate.Evidence) bool{
		len(whole): func(got validate.Evidence) bool {
			return !got.Shortened && len(got.Lookups[0].Questions[0].Answers) == 3
		},
		len(whole) - 1: func(got validate.Evidence) bool {
			return got.Shortened && len(got.Lookups[0].Questions) == 40 && len(got.Lookups[0].Questions[0].Answers) == 0
		},
		20000: func(got validate.Evidence) bool {
			return got.Shortened && len(got.Lookups) == 11 && len(got.Hops) == 11
		},
		2000: func(got validate.Evidence) bool {
			return got.Shortened && len(got.Lookups) == 1 && got.Hops[0].Status == 302
		},
		100: func(got validate.Evidence) bool { return got.Shortened && got.Started.Equal(e.Started) },
	} {
		text, err := e.Encode(limit)
		var got validate.Evidence
		if err != nil || len(text) > limit || json.Unmarshal(text, &got) != nil || !want(got) {
			t.Errorf("within %d octets: %d octets, %v, %.300s", limit, len(text), err, text)
		}
	}
	if len(e.Lookups[0].Questions[0].Answers) != 3 {
		t.Error("encoding changed the evidence itself")
	}
}
