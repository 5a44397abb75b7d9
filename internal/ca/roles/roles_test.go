package roles_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
)

func newAuthority(t testing.TB) *roles.Authority {
	t.Helper()
	certificate, key, err := roles.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	authority, err := roles.LoadAuthority(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

func TestToken(t *testing.T) {
	a := newAuthority(t)
	token, other := roles.NewToken(a.Hash()), roles.NewToken(a.Hash())
	if token == other || token.Name() == other.Name() {
		t.Error("two tokens are the same")
	}
	read, err := roles.ParseToken(token.String())
	if err != nil || read != token {
		t.Errorf("ParseToken(%s) = %v, %v", token, read, err)
	}
	text := token.String()
	for _, bad := range []string{"", "cairn-join-", text[:len(text)-1], text + "A", text + "=", " " + text, strings.ToUpper(text), text[:20] + "\n" + text[20:]} {
		if _, err := roles.ParseToken(bad); err == nil {
			t.Errorf("%q is a token", bad)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(roles.NewToken([32]byte{1, 2, 3}).String())
	f.Add("cairn-join-")
	f.Add("cairn-join-!!")
	f.Fuzz(func(t *testing.T, text string) {
		if token, err := roles.ParseToken(text); err == nil && token.String() != text {
			t.Errorf("%q was read as %q", text, token)
		}
	})
}

func csr(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestParseCSR(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := csr(t, p256)
	if key, err := roles.ParseCSR(good); err != nil || !key.Equal(p256.Public()) {
		t.Errorf("ParseCSR: %v", err)
	}
	damaged := append([]byte{}, good...)
	damaged[len(damaged)-1] ^= 1
	for name, der := range map[string][]byte{"nothing": nil, "P-384": csr(t, p384), "RSA": csr(t, rsaKey), "a wrong signature": damaged, "trailing octets": append(good, 0)} {
		if _, err := roles.ParseCSR(der); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}

func FuzzParseCSR(f *testing.F) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	f.Add(csr(f, key))
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, der []byte) {
		if key, err := roles.ParseCSR(der); err == nil && key.Curve != elliptic.P256() {
			t.Error("a key on another curve")
		}
	})
}

func TestLoadAuthorityRefusesAnotherKey(t *testing.T) {
	certificate, _, err := roles.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := roles.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := roles.LoadAuthority(certificate, key); err == nil {
		t.Error("it took a key that is not the certificate's")
	}
}

// enrolling is an authority's end of Join that answers with what certify makes.
func enrolling(t *testing.T, a *roles.Authority, certify func(roles.EnrolRequest) (roles.EnrolResponse, error)) string {
	t.Helper()
	server := new(rpc.Server)
	rpc.Handle(server, roles.EnrolMethod, func(_ context.Context, r roles.EnrolRequest) (roles.EnrolResponse, error) { return certify(r) })
	listener := httptest.NewUnstartedServer(http.HandlerFunc(server.ServeHTTP))
	listener.TLS = a.Identity(rpc.Peer{Role: rpc.RoleAuthority, Node: "main"}).OpenServerConfig()
	listener.StartTLS()
	t.Cleanup(listener.Close)
	return listener.URL
}

// grant certifies what is asked for.
func grant(a *roles.Authority, r roles.EnrolRequest, node string, now time.Time) (response roles.EnrolResponse, err error) {
	key, err := roles.ParseCSR(r.CSR)
	if err != nil {
		return response, err
	}
	der, err := a.Certify(rpc.Peer{Role: r.Role, Node: node}, key, now)
	return roles.EnrolResponse{Node: node, RIR: r.RIR, Address: r.Address, Certificate: der, CA: a.Certificate().Raw}, err
}

func TestJoinAndRenew(t *testing.T) {
	a := newAuthority(t)
	now := time.Now()
	var keys []string
	lost := true
	url := enrolling(t, a, func(r roles.EnrolRequest) (roles.EnrolResponse, error) {
		keys = append(keys, string(r.CSR))
		if lost {
			lost = false
			return roles.EnrolResponse{}, rpc.Refuse("as if the answer were lost")
		}
		return grant(a, r, "fra1", now.Add(-roles.Lifetime*3/4)) // due for renewal
	})
	dir := filepath.Join(t.TempDir(), "host")
	join := roles.JoinConfig{URL: url, Token: roles.NewToken(a.Hash()), Request: roles.EnrolRequest{RIR: "RIPE", Address: ":9443"}}
	host, err := roles.OpenHost(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Join(t.Context(), join); err == nil || host.Joined() {
		t.Fatalf("the first time: %v", err)
	}
	if host, err = roles.OpenHost(dir); err != nil { // a new process goes on with the same key
		t.Fatal(err)
	}
	if err := host.Join(t.Context(), join); err != nil {
		t.Fatal(err)
	}
	first, err := roles.ParseCSR([]byte(keys[0]))
	if err != nil {
		t.Fatal(err)
	}
	if second, err := roles.ParseCSR([]byte(keys[1])); err != nil || !first.Equal(second) {
		t.Errorf("the second time it asked with another key (%v)", err)
	}
	if err := host.Join(t.Context(), join); err == nil || !strings.Contains(err.Error(), "joined already") {
		t.Errorf("a third time: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, "validator.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its file: %v, %v", info.Mode(), err)
	}
	renew(t, a, dir)
}

// renew renews the certificate of the host in dir, which is due.
func renew(t *testing.T, a *roles.Authority, dir string) {
	t.Helper()
	host, err := roles.OpenHost(dir)
	if err != nil {
		t.Fatal(err)
	}
	request, err := host.Renewal(time.Now())
	if err != nil || request == nil {
		t.Fatalf("Renewal = %v, %v", request, err)
	}
	key, err := roles.ParseCSR(request)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := a.Certify(rpc.Peer{Role: rpc.RoleValidator, Node: "ams1"}, key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Renewed(wrong); err == nil {
		t.Error("it took a certificate for another node")
	}
	foreign, err := newAuthority(t).Certify(rpc.Peer{Role: rpc.RoleValidator, Node: "fra1"}, key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Renewed(foreign); err == nil {
		t.Error("it took a certificate of another CA")
	}
	right, err := a.Certify(rpc.Peer{Role: rpc.RoleValidator, Node: "fra1"}, key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Renewed(right); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*roles.Host{host, mustOpen(t, dir)} {
		if request, err := h.Renewal(time.Now()); request != nil || err != nil {
			t.Errorf("after the renewal, Renewal = %v, %v", request, err)
		}
		if node, rir, address := h.Name(); node != "fra1" || rir != "RIPE" || address != ":9443" {
			t.Errorf("after the renewal it is %s in %s at %s", node, rir, address)
		}
	}
}

func mustOpen(t *testing.T, dir string) *roles.Host {
	t.Helper()
	host, err := roles.OpenHost(dir)
	if err != nil {
		t.Fatal(err)
	}
	return host
}

func TestJoinTrustsTheTokenAlone(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	url := enrolling(t, a, func(r roles.EnrolRequest) (roles.EnrolResponse, error) { return grant(other, r, "fra1", time.Now()) })
	for name, ca := range map[string]*roles.Authority{"the server is another's": other, "the answer is another's": a} {
		host := mustOpen(t, t.TempDir())
		err := host.Join(t.Context(), roles.JoinConfig{URL: url, Token: roles.NewToken(ca.Hash())})
		if err == nil || host.Joined() || !strings.Contains(err.Error(), "CA for roles") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenHostRefusesWhatIsOpenOrDamaged(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"open to others": {`{}`, 0o644}, "not JSON": {`{`, 0o600}, "no key": {`{}`, 0o600}, "another certificate": {`{"key":"eA=="}`, 0o600},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "validator.json"), []byte(test.text), test.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := roles.OpenHost(dir); err == nil {
			t.Errorf("%s: it was opened", name)
		}
	}
}

// TestIdentityRenews makes another certificate before the present one ends.
func TestIdentityRenews(t *testing.T) {
	identity := newAuthority(t).Identity(rpc.Peer{Role: rpc.RoleAuthority, Node: "main"})
	first, err := identity.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	if second, err := identity.Certificate(); err != nil || second != first {
		t.Errorf("a certificate for each call: %v", err)
	}
	for after, want := range map[time.Duration]bool{0: false, roles.Lifetime / 2: false, roles.Lifetime * 3 / 4: true, roles.Lifetime * 2: true, -48 * time.Hour: true} {
		if got := roles.Due(first.Leaf, time.Now().Add(after)); got != want {
			t.Errorf("Due after %s = %v", after, got)
		}
	}
}
