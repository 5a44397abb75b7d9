package main

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// ocspServer answers as an OCSP server for what Pebble has issued: Pebble has none, and tells what it needs.
type ocspServer struct {
	management string
	client     *http.Client
}

func (r *ocspServer) get(path string) ([]byte, error) {
	response, err := r.client.Get(r.management + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

func (r *ocspServer) answer(question []byte) ([]byte, error) {
	request, err := ocsp.ParseRequest(question)
	if err != nil {
		return nil, err
	}
	text, err := r.get("/intermediates/0")
	if err != nil {
		return nil, err
	}
	issuer, err := firstCertificate(text)
	if err != nil {
		return nil, err
	}
	if text, err = r.get("/intermediate-keys/0"); err != nil {
		return nil, err
	}
	var key crypto.Signer
	if key, err = lineage.ParseKey(text); err != nil {
		return nil, err
	}
	if text, err = r.get(fmt.Sprintf("/cert-status-by-serial/%x", request.SerialNumber)); err != nil {
		return nil, err
	}
	var status struct{ Status, Certificate string }
	if err := json.Unmarshal(text, &status); err != nil {
		return nil, err
	}
	template := ocsp.Response{SerialNumber: request.SerialNumber, ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}
	if status.Status == "Revoked" {
		template.Status, template.RevokedAt = ocsp.Revoked, time.Now()
	}
	return ocsp.CreateResponse(issuer, issuer, template, key)
}

// TestRevokedCertificates are shown, and renewed.
func TestRevokedCertificates(t *testing.T) {
	r := new(ocspServer)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		question, err := io.ReadAll(request.Body)
		if err == nil {
			question, err = r.answer(question)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			t.Error(err)
			return
		}
		_, _ = w.Write(question)
	}))
	defer server.Close()
	pebble, err := pebbletest.StartConfig(pebbletest.Config{Directory: t.TempDir(), Members: map[string]any{
		"ocspResponderURL": server.URL, "keyAlgorithm": "rsa", // of others it does not give the keys away
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer pebble.Stop()
	// Pebble's management interface has a certificate of its own making, on this machine.
	r.management = pebble.Management
	r.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}

	directory := t.TempDir()
	bot := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		args = append(args, "-n", "--config-dir", directory+"/etc", "--work-dir", directory+"/lib", "--logs-dir", directory+"/log")
		if code := run(t.Context(), args, process{out: &out, err: &out, getenv: func(string) string { return "" }}); code != exitOK {
			t.Fatalf("%q ends with %d:\n%s", args, code, out.String())
		}
		return out.String()
	}
	bot("certonly", "--standalone", "-d", "a.example", "--http-01-port", strconv.Itoa(pebble.HTTPPort), "--agree-tos",
		"--server", pebble.Directory, "--ca-bundle", pebble.Bundle)
	if text := bot("certificates"); strings.Count(text, "VALID") != 1 || strings.Contains(text, "INVALID") {
		t.Errorf("a new certificate:\n%s", text)
	}
	if text := bot("renew", "--no-random-sleep-on-renew"); !strings.Contains(text, "No renewals were attempted.") {
		t.Errorf("a new certificate:\n%s", text)
	}
	bot("revoke", "--cert-name", "a.example", "--no-delete-after-revoke")
	if text := bot("certificates"); strings.Count(text, "INVALID: REVOKED") != 1 {
		t.Errorf("a revoked certificate:\n%s", text)
	}
	if text := bot("renew", "--no-random-sleep-on-renew"); !strings.Contains(text, "all renewals succeeded") {
		t.Errorf("a revoked certificate:\n%s", text)
	}
	if text := bot("certificates"); strings.Contains(text, "REVOKED") {
		t.Errorf("its successor:\n%s", text)
	}
}
