package main

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// changesOfKeys has changes of an account's key answered as it is told, and all else by a CA.
type changesOfKeys struct {
	target  *url.URL
	status  atomic.Int64 // of the answer; 0 leaves it to the CA
	reaches atomic.Bool  // the CA, all the same
}

// proxy listens in place of the CA. Its directory has the same path.
func (c *changesOfKeys) proxy() *httptest.Server {
	return httptest.NewTLSServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = c.target.Scheme, c.target.Host, r.In.Host
			if strings.Contains(r.In.URL.Path, "rollover") && c.status.Load() != 0 && !c.reaches.Load() {
				r.Out.URL.Path = "/nothing"
			}
		},
		ModifyResponse: func(r *http.Response) error {
			if code := c.status.Load(); code != 0 && (strings.Contains(r.Request.URL.Path, "rollover") || r.Request.URL.Path == "/nothing") {
				if c.reaches.Load() && r.StatusCode != http.StatusOK {
					return errors.New("the CA has not changed the key")
				}
				r.StatusCode, r.Body, r.ContentLength = int(code), io.NopCloser(strings.NewReader("")), 0
				r.Header.Del("Content-Length")
			}
			return nil
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	})
}

// TestRolloverThatIsAnsweredWithAnError has the CA, or a proxy in front of it, answer the change of the account's key with an error. One of 5xx
// may come after the change was made: then the new key is all that is left of the account. One of 4xx means that nothing has changed.
func TestRolloverThatIsAnsweredWithAnError(t *testing.T) {
	pebble, err := pebbletest.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer pebble.Stop()
	target, err := url.Parse(pebble.Directory)
	if err != nil {
		t.Fatal(err)
	}
	changes := changesOfKeys{target: target}
	proxy := changes.proxy()
	defer proxy.Close()
	directory := t.TempDir()
	bundle := filepath.Join(directory, "bundle.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	server := proxy.URL + target.Path
	bot := func(want int, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		args = append(args, "-n", "--server", server, "--ca-bundle", bundle,
			"--config-dir", directory+"/etc", "--work-dir", directory+"/lib", "--logs-dir", directory+"/log")
		if code := run(t.Context(), args, process{out: &out, err: &out, getenv: func(string) string { return "" }}); code != want {
			t.Fatalf("%q ends with %d:\n%s", args, code, out.String())
		}
		return out.String()
	}
	bot(exitOK, "register", "--agree-tos")
	accounts, err := lineage.Dirs{Config: filepath.Join(directory, "etc")}.Accounts(server)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		status    int64
		reaches   bool
		undecided bool // the new key is kept until it is known which one the CA has
	}{{http.StatusInternalServerError, true, true}, {http.StatusBadGateway, false, true}, {http.StatusForbidden, false, false}} {
		all, err := accounts.List()
		if err != nil || len(all) != 1 {
			t.Fatalf("%d accounts, %v", len(all), err)
		}
		changes.status.Store(c.status)
		changes.reaches.Store(c.reaches)
		bot(exitFailed, "rollover")
		changes.status.Store(0)
		if next, err := accounts.Next(all[0].ID()); err != nil || (next != nil) != c.undecided {
			t.Errorf("%d: the next key is there: %v, %v", c.status, next != nil, err)
		}
		if shown := bot(exitOK, "show_account"); !strings.Contains(shown, all[0].URL) {
			t.Errorf("%d: the account is another:\n%s", c.status, shown)
		}
		after, err := accounts.List()
		if err != nil || len(after) != 1 || (after[0].ID() != all[0].ID()) != c.reaches {
			t.Errorf("%d: %d accounts afterwards, %v", c.status, len(after), err)
		}
	}
}
