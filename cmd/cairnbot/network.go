package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// trust says which servers are believed to be the CA.
type trust struct {
	bundle string // a file of certificates, or a directory of such files; "" for the system's
	anyone bool   // --no-verify-ssl
}

// trustFrom takes the options, and then the variables that certbot's users know.
func trustFrom(o *options, environment func(string) string) trust {
	t := trust{bundle: o.caBundle, anyone: o.noVerifySSL}
	for _, name := range []string{"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} {
		if t.bundle == "" {
			t.bundle = environment(name)
		}
	}
	return t
}

// requestTimeout is certbot's limit for one exchange with the CA.
const requestTimeout = 45 * time.Second

// client makes the HTTP client through which everything goes to the CA, and into the log.
func (t trust) client(log *slog.Logger) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone() // proxies as the environment says
	transport.MaxResponseHeaderBytes = 64 << 10
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case t.anyone:
		transport.TLSClientConfig.InsecureSkipVerify = true // --no-verify-ssl asks for just this
	case t.bundle != "":
		pool, err := readBundle(t.bundle)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &http.Client{Transport: &recorder{next: transport, log: log}, Timeout: requestTimeout}, nil
}

// readBundle reads the certificates of a file, or of the files in a directory.
func readBundle(path string) (*x509.CertPool, error) {
	files := []string{path}
	if entries, err := os.ReadDir(path); err == nil {
		files = nil
		for _, entry := range entries {
			if !entry.IsDir() {
				files = append(files, filepath.Join(path, entry.Name()))
			}
		}
	}
	pool, found := x509.NewCertPool(), false
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, withHint(fmt.Errorf("reading the certificates to trust: %w", err), "--ca-bundle names a file, or a directory of files, that this user can read")
		}
		found = pool.AppendCertsFromPEM(text) || found
	}
	if !found {
		return nil, fmt.Errorf("there is no certificate in PEM in %s", path)
	}
	return pool, nil
}

// recorder writes every exchange into the log. Requests hold no secret: they are
// signed, and the key that signs is never in them.
type recorder struct {
	next http.RoundTripper
	log  *slog.Logger
}

// maxRecorded is how much of an answer goes into the log: a problem document, or the directory, in full.
const maxRecorded = 4 << 10

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	r.log.Debug("request", "method", request.Method, "url", request.URL, "payload", payloadOf(request))
	start := time.Now()
	response, err := r.next.RoundTrip(request)
	if err != nil {
		r.log.Debug("no answer", "url", request.URL, "error", err)
		return nil, err
	}
	head, err := io.ReadAll(io.LimitReader(response.Body, maxRecorded))
	if err != nil {
		return nil, errors.Join(err, response.Body.Close())
	}
	r.log.Debug("answer", "url", request.URL, "status", response.StatusCode, "took", time.Since(start).Round(time.Millisecond),
		"header", response.Header, "body", string(head))
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), response.Body), response.Body}
	return response, nil
}

// payloadOf decodes what a JWS signs, for the log.
func payloadOf(request *http.Request) string {
	if request.GetBody == nil {
		return ""
	}
	body, err := request.GetBody()
	if err != nil {
		return ""
	}
	defer body.Close()
	var jws struct{ Payload string }
	if json.NewDecoder(body).Decode(&jws) != nil {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(jws.Payload)
	if err != nil {
		return ""
	}
	return string(payload)
}
