package sign_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/sign"
)

func crlRequest(issuer string, number uint64, entries ...sign.Revocation) sign.CRLRequest {
	now := time.Now()
	return sign.CRLRequest{Issuer: issuer, Number: number, ThisUpdate: now, NextUpdate: now.Add(24 * time.Hour), Entries: entries}
}

func hexSerial(c *x509.Certificate) string { return fmt.Sprintf("%x", c.SerialNumber.Bytes()) }

// TestOpenSSLChecksCRL has OpenSSL judge a certificate and its intermediate by the two CRLs.
func TestOpenSSLChecksCRL(t *testing.T) {
	h := newHierarchy(t, "internal")
	s := h.signer(t, newMemory())
	var leaves []*x509.Certificate
	for _, order := range []string{"good", "revoked"} {
		c, err := s.Certificate(context.Background(), h.request(order, order+".internal"))
		check(t, err)
		leaves = append(leaves, parse(t, c.DER))
	}
	crl := func(r sign.CRLRequest) []byte {
		der, err := s.CRL(context.Background(), r)
		check(t, err)
		return der
	}
	now := time.Now()
	empty, clean := crl(crlRequest("intermediate", 1)), crl(crlRequest("root", 1))
	one := crl(crlRequest("intermediate", 2, sign.Revocation{Serial: hexSerial(leaves[1]), At: now, Reason: 1}))
	named := crlRequest("root", 2)
	named.URLs = []string{rootCRLURL}
	dirty := crl(crlRequest("root", 3, sign.Revocation{Serial: hexSerial(h.intermediate.Certificate), At: now, Reason: 5}))
	moved := crlRequest("intermediate", 3)
	moved.URLs = []string{"http://elsewhere.internal/crl"}
	both := moved
	both.URLs = []string{"http://elsewhere.internal/crl", crlURL}

	root, chain := write(t, "CERTIFICATE", h.root.Certificate.Raw), write(t, "CERTIFICATE", h.intermediate.Certificate.Raw)
	for _, test := range []struct {
		name string
		leaf int
		crls [][]byte
		want string // in what openssl says
	}{
		{"nothing revoked", 0, [][]byte{empty, clean}, ": OK"},
		{"another one revoked", 0, [][]byte{one, clean}, ": OK"},
		{"a root's CRL that was to be named", 0, [][]byte{empty, crl(named)}, ": OK"},
		{"revoked", 1, [][]byte{one, clean}, "certificate revoked"},
		{"the intermediate revoked", 0, [][]byte{one, dirty}, "certificate revoked"},
		{"a CRL of another place", 0, [][]byte{crl(moved), clean}, "different CRL scope"},
		{"a CRL of two places", 0, [][]byte{crl(both), clean}, ": OK"},
		{"a CRL missing", 0, [][]byte{one}, "unable to get certificate CRL"},
	} {
		file := write(t, "X509 CRL", test.crls...)
		leaf := write(t, "CERTIFICATE", leaves[test.leaf].Raw)
		out, _ := exec.Command(tool(t, "openssl", "openssl"), "verify", "-crl_check_all", "-x509_strict",
			"-CAfile", root, "-untrusted", chain, "-CRLfile", file, leaf).CombinedOutput()
		if !strings.Contains(string(out), test.want) {
			t.Errorf("%s: openssl says %s", test.name, out)
		}
	}
}

func TestCRLShape(t *testing.T) {
	h := newHierarchy(t, "internal")
	s := h.signer(t, newMemory())
	now := time.Now()
	r := crlRequest("intermediate", 47)
	at := map[int]time.Time{0: now.Add(time.Hour)}   // a clock was set back
	for i, reason := range []int{9, 0, 1, 3, 4, 5} { // serials fall
		r.Entries = append(r.Entries, sign.Revocation{Serial: fmt.Sprintf("%02x", 90-i), At: cmp.Or(at[reason], now.Add(-time.Hour)), Reason: reason})
	}
	der, err := s.CRL(context.Background(), r)
	check(t, err)
	crl, err := x509.ParseRevocationList(der)
	check(t, err)
	check(t, crl.CheckSignatureFrom(h.intermediate.Certificate))
	if crl.Number.Uint64() != 47 || !bytes.Equal(crl.AuthorityKeyId, h.intermediate.Certificate.SubjectKeyId) ||
		!crl.ThisUpdate.Equal(now.Truncate(time.Second)) || crl.NextUpdate.Sub(crl.ThisUpdate) != 24*time.Hour {
		t.Errorf("number, key or times are wrong: %+v", crl)
	}
	var got []string
	for _, e := range crl.RevokedCertificateEntries {
		got = append(got, fmt.Sprintf("%x:%d:%d", e.SerialNumber, e.ReasonCode, len(e.Extensions)))
	}
	if want := []string{"55:5:1", "56:4:1", "57:3:1", "58:1:1", "59:0:0", "5a:9:1"}; !slices.Equal(got, want) {
		t.Errorf("entries (serial:reason:extensions) are %v, not %v", got, want)
	}
	if at := crl.RevokedCertificateEntries[4].RevocationTime; !at.Equal(crl.ThisUpdate) {
		t.Errorf("a revocation of the future is dated %s, not %s", at, crl.ThisUpdate)
	}
	point := crl.Extensions[len(crl.Extensions)-1]
	want := slices.Concat([]byte{0x30, byte(len(crlURL) + 9), 0xa0, byte(len(crlURL) + 4), 0xa0, byte(len(crlURL) + 2), 0x86, byte(len(crlURL))},
		[]byte(crlURL), []byte{0x81, 1, 0xff})
	if point.Id.String() != "2.5.29.28" || !point.Critical || !bytes.Equal(point.Value, want) {
		t.Errorf("issuingDistributionPoint is %x, not %x", point.Value, want)
	}
}

func TestCRLRefuses(t *testing.T) {
	h := newHierarchy(t, "internal")
	s := h.signer(t, newMemory())
	now := time.Now()
	entry := func(serial string, reason int) sign.CRLRequest {
		return crlRequest("intermediate", 1, sign.Revocation{Serial: serial, At: now, Reason: reason})
	}
	backwards := crlRequest("intermediate", 1)
	backwards.NextUpdate = backwards.ThisUpdate
	elsewhere := func(url string) sign.CRLRequest {
		r := crlRequest("intermediate", 1)
		r.URLs = []string{url}
		return r
	}
	for name, r := range map[string]sign.CRLRequest{
		"HTTPS":             elsewhere("https://ca.internal/crl"),
		"no host":           elsewhere("http:///crl"),
		"a space":           elsewhere("http://ca.internal/the crl"),
		"not ASCII":         elsewhere("http://ca.internal/é"),
		"no serial":         entry("", 0),
		"serial not hex":    entry("xyz", 0),
		"serial zero":       entry("00", 0),
		"serial too long":   entry(strings.Repeat("47", 21), 0),
		"cACompromise":      entry("47", 2),
		"certificateHold":   entry("47", 6),
		"reason 7":          entry("47", 7),
		"removeFromCRL":     entry("47", 8),
		"aACompromise":      entry("47", 10),
		"a negative reason": entry("47", -1),
		"nextUpdate":        backwards,
		"no date":           crlRequest("intermediate", 1, sign.Revocation{Serial: "47"}),
		"a date of 1990":    crlRequest("intermediate", 1, sign.Revocation{Serial: "47", At: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)}), // lint
		"twice":             crlRequest("intermediate", 1, sign.Revocation{Serial: "47", At: now}, sign.Revocation{Serial: "47", At: now}),
	} {
		if der, err := s.CRL(context.Background(), r); !errors.Is(err, sign.ErrRefused) || der != nil {
			t.Errorf("%s: got %d octets, %v", name, len(der), err)
		}
	}
	if _, err := s.CRL(context.Background(), crlRequest("nobody", 1)); err == nil {
		t.Error("a CRL of an unknown issuer")
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.CRL(gone, crlRequest("intermediate", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("a CRL for a caller who is gone: %v", err)
	}
}
