package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// TestRolloverAfterACrash leaves a change of the account's key where a crash can leave it: saved and not asked for, asked for and not
// noted, and noted by half. The next command finds out.
func TestRolloverAfterACrash(t *testing.T) {
	for _, at := range []string{"saved", "asked", "noted"} {
		t.Run(at, func(t *testing.T) {
			pebble, err := pebbletest.Start(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer pebble.Stop()
			directory := t.TempDir()
			bot := func(args ...string) string {
				t.Helper()
				var out bytes.Buffer
				args = append(args, "-n", "--server", pebble.Directory, "--ca-bundle", pebble.Bundle,
					"--config-dir", directory+"/etc", "--work-dir", directory+"/lib", "--logs-dir", directory+"/log")
				if code := run(t.Context(), args, process{out: &out, err: &out, getenv: func(string) string { return "" }}); code != exitOK {
					t.Fatalf("%q ends with %d:\n%s", args, code, out.String())
				}
				return out.String()
			}
			bot("register", "--agree-tos")
			accounts, err := lineage.Dirs{Config: filepath.Join(directory, "etc")}.Accounts(pebble.Directory)
			if err != nil {
				t.Fatal(err)
			}
			old, next := leaveRollover(t, accounts, pebble, at)
			url := old.URL
			if shown := bot("show_account"); !strings.Contains(shown, url) {
				t.Errorf("the account is another:\n%s", shown)
			}
			all, err := accounts.List()
			if err != nil || len(all) != 1 {
				t.Fatalf("%d accounts, %v", len(all), err)
			}
			if want := map[bool]*ecdsa.PrivateKey{true: next}[at != "saved"]; want != nil && !want.Equal(all[0].Key) || want == nil && all[0].ID() != old.ID() {
				t.Errorf("the account has the wrong key")
			}
			if pending, err := accounts.Next(all[0].ID()); err != nil || pending != nil {
				t.Errorf("a change of the key is still pending, %v", err)
			}
			bot("rollover")
			bot("unregister")
		})
	}
}

// leaveRollover does what rollover does, up to some point.
func leaveRollover(t *testing.T, accounts *lineage.Accounts, pebble *pebbletest.Server, at string) (*lineage.Account, *ecdsa.PrivateKey) {
	t.Helper()
	all, err := accounts.List()
	if err != nil || len(all) != 1 {
		t.Fatalf("%d accounts, %v", len(all), err)
	}
	old := all[0]
	next, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := accounts.SaveNext(old.ID(), next); err != nil {
		t.Fatal(err)
	}
	if at == "saved" {
		return old, next
	}
	bundle, err := os.ReadFile(pebble.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	client, err := acme.NewClient(acme.ClientConfig{Directory: pebble.Directory, Key: old.Key, AccountURL: old.URL,
		HTTP: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.ChangeKey(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if at == "noted" {
		if err := accounts.Save(old.WithKey(next)); err != nil {
			t.Fatal(err)
		}
	}
	return old, next
}
