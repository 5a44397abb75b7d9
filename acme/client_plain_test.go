package acme_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/cairn-ca/cairn/acme"
)

// directoryAt answers everything with a directory whose resources are at a host.
type directoryAt string

func (d directoryAt) RoundTrip(*http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	sendJSON(w, 200, acme.Directory{NewNonce: string(d) + "/nonce", NewAccount: string(d) + "/account", NewOrder: string(d) + "/order"})
	return w.Result(), nil
}

// Without TLS only this machine is spoken to, or who was said to be all right; and nobody is led out of TLS.
func TestPlainHTTP(t *testing.T) {
	for _, c := range []struct {
		directory, resource string
		plain, refused      bool
	}{
		{"https://ca.test/d", "https://ca.test", false, false},
		{"https://ca.test/d", "http://ca.test", false, true},
		{"https://ca.test/d", "http://localhost:4001", true, true},
		{"http://ca.test/d", "http://ca.test", false, true},
		{"http://ca.test/d", "http://other.test", true, false},
		{"http://localhost:4001/d", "http://127.0.0.1:4001", false, false},
		{"HTTP://LOCALHOST:4001/d", "http://[::1]:4001", false, false},
		{"http://127.0.0.1:4001/d", "http://ca.test", false, true},
		{"http://127.0.0.1.ca.test/d", "http://127.0.0.1", false, true},
		{"ftp://localhost/d", "https://ca.test", true, true},
		{"http:///d", "http://localhost", true, true},
	} {
		client, err := acme.NewClient(acme.ClientConfig{Directory: c.directory, PlainHTTP: c.plain, Tries: 1,
			HTTP: &http.Client{Transport: directoryAt(c.resource)}})
		if err == nil {
			_, err = client.Directory(t.Context())
		}
		if (err != nil) != c.refused {
			t.Errorf("%s with resources at %s (plain: %v): %v", c.directory, c.resource, c.plain, err)
		}
		if err != nil && c.directory != "http:///d" && !errors.Is(err, acme.ErrNotHTTPS) {
			t.Errorf("%s with resources at %s: not said why: %v", c.directory, c.resource, err)
		}
	}
}
