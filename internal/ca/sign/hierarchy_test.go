package sign_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/sign"
)

// tool finds a program that these tests need, and names the Debian package that has it.
func tool(t testing.TB, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: install the Debian package %s", name, pkg)
	}
	return path
}

// verifiers are programs that were not written here. Each says for every leaf
// whether it verifies under the hierarchy, for its host if that is not empty.
var verifiers = map[string]func(*testing.T, hierarchy, []leaf) []bool{
	"Go": func(t *testing.T, h hierarchy, leaves []leaf) (verdicts []bool) {
		roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
		roots.AddCert(h.root.Certificate)
		intermediates.AddCert(h.intermediate.Certificate)
		for _, l := range leaves {
			_, err := l.cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, DNSName: l.host})
			verdicts = append(verdicts, err == nil)
		}
		return verdicts
	},
	"OpenSSL": func(t *testing.T, h hierarchy, leaves []leaf) (verdicts []bool) {
		root, chain := write(t, "CERTIFICATE", h.root.Certificate.Raw), write(t, "CERTIFICATE", h.intermediate.Certificate.Raw)
		for _, l := range leaves {
			args := []string{"verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", root, "-untrusted", chain}
			if net.ParseIP(l.host) != nil {
				args = append(args, "-verify_ip", l.host)
			} else if l.host != "" {
				args = append(args, "-verify_hostname", l.host)
			}
			args = append(args, write(t, "CERTIFICATE", l.cert.Raw))
			verdicts = append(verdicts, exec.Command(tool(t, "openssl", "openssl"), args...).Run() == nil)
		}
		return verdicts
	},
	"GnuTLS": func(t *testing.T, h hierarchy, leaves []leaf) (verdicts []bool) {
		root := write(t, "CERTIFICATE", h.root.Certificate.Raw)
		for _, l := range leaves {
			chain := write(t, "CERTIFICATE", l.cert.Raw, h.intermediate.Certificate.Raw)
			args := []string{"--verify", "--load-ca-certificate", root, "--infile", chain}
			if l.host != "" {
				args = append(args, "--verify-hostname", l.host)
			}
			verdicts = append(verdicts, exec.Command(tool(t, "certtool", "gnutls-bin"), args...).Run() == nil)
		}
		return verdicts
	},
	"Java": func(t *testing.T, h hierarchy, leaves []leaf) (verdicts []bool) { // it verifies no host, only the path
		tool(t, "javac", "openjdk-17-jdk-headless")
		args := []string{"-XX:TieredStopAtLevel=1", "testdata/Verify.java"}
		for _, c := range []*x509.Certificate{h.root.Certificate, h.intermediate.Certificate} {
			args = append(args, write(t, "CERTIFICATE", c.Raw))
		}
		for _, l := range leaves {
			args = append(args, write(t, "CERTIFICATE", l.cert.Raw))
		}
		command := exec.Command(tool(t, "java", "openjdk-17-jdk-headless"), args...)
		var stderr bytes.Buffer
		command.Stderr = &stderr
		out, err := command.Output()
		if err != nil {
			t.Fatalf("java: %v: %s", err, stderr.String())
		}
		for line := range strings.Lines(string(out)) {
			verdicts = append(verdicts, line == "ok\n")
		}
		return verdicts
	},
}

// leaf is a certificate under test, made by the intermediate's key without the
// signer, who would refuse most of them.
type leaf struct {
	name string
	host string // to verify for; "" for none
	ok   bool
	fill func(*x509.Certificate)
	cert *x509.Certificate
}

func dnsLeaf(name string, ok bool) leaf {
	return leaf{name, strings.Replace(name, "*", "x", 1), ok, func(c *x509.Certificate) { c.DNSNames = []string{name} }, nil}
}

func ipLeaf(addr string, ok bool) leaf {
	return leaf{addr, addr, ok, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP(addr)} }, nil}
}

func mailLeaf(addr string) leaf {
	return leaf{"mail " + addr, "", false, func(c *x509.Certificate) { c.EmailAddresses = []string{addr} }, nil}
}

func uriLeaf(uri string) leaf {
	return leaf{uri, "", false, func(c *x509.Certificate) {
		parsed, err := url.Parse(uri)
		if err != nil {
			panic(err)
		}
		c.URIs = []*url.URL{parsed}
	}, nil}
}

// never are leaves that no hierarchy of ours lets through.
func never() []leaf {
	return []leaf{
		dnsLeaf("example.com", false),
		dnsLeaf("notinternal", false),
		dnsLeaf("internal.example.com", false),
		dnsLeaf("*.com", false),
		dnsLeaf("nowhere.invalid", false),
		ipLeaf("11.1.2.3", false),
		ipLeaf("0.0.0.0", false),
		ipLeaf("255.255.255.255", false),
		ipLeaf("1.0.0.0", false),
		ipLeaf("8.8.8.8", false),
		ipLeaf("2001:db8::1", false),
		ipLeaf("::", false),
		ipLeaf("::2", false),
		mailLeaf("someone@example.com"),
		mailLeaf("someone@a.internal"),
		mailLeaf("someone@nowhere.invalid"),
		mailLeaf("someone@invalid"),
		uriLeaf("https://example.com/"),
		uriLeaf("https://a.internal/"),
		uriLeaf("https://10.0.0.1/"),
		uriLeaf("spiffe://example.com/workload"),
		uriLeaf("https://nowhere.invalid/"),
		{"a common name alone", "example.com", false, func(c *x509.Certificate) { c.Subject.CommonName = "example.com" }, nil},
		{"another common name than the permitted DNS name", "example.com", false, func(c *x509.Certificate) {
			c.Subject.CommonName, c.DNSNames = "example.com", []string{"a.internal"}
		}, nil},
		{"one name of two", "a.internal", false, func(c *x509.Certificate) { c.DNSNames = []string{"a.internal", "example.com"} }, nil},
		{"one kind of two", "a.internal", false, func(c *x509.Certificate) {
			c.DNSNames, c.EmailAddresses = []string{"a.internal"}, []string{"someone@example.com"}
		}, nil},
	}
}

func (l *leaf) make(t *testing.T, h hierarchy) {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 150))
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{"Test"}},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	l.fill(template)
	der, err := x509.CreateCertificate(rand.Reader, template, h.intermediate.Certificate, h.leafKey.Public(), h.intermediate.Key)
	check(t, err)
	l.cert = parse(t, der)
}

// TestNameConstraints asks each verifier about leaves in and out of the permitted names.
func TestNameConstraints(t *testing.T) {
	tests := map[string]struct {
		permitted []string
		leaves    []leaf
	}{
		"private names": {
			[]string{"localhost", "internal", "home.arpa", "10.0.0.0/8", "192.168.0.0/16", "127.0.0.0/8", "192.0.2.7", "fc00::/7", "::1"},
			[]leaf{
				dnsLeaf("a.internal", true), dnsLeaf("internal", true), dnsLeaf("localhost", true), dnsLeaf("*.a.internal", true),
				ipLeaf("10.1.2.3", true), ipLeaf("192.0.2.7", true), ipLeaf("fd00::1", true), ipLeaf("::1", true), ipLeaf("192.0.2.8", false),
			},
		},
		"DNS alone":          {[]string{"internal"}, []leaf{dnsLeaf("a.internal", true), ipLeaf("10.1.2.3", false), ipLeaf("fd00::1", false)}},
		"DNS and IPv4":       {[]string{"internal", "10.0.0.0/8"}, []leaf{dnsLeaf("a.internal", true), ipLeaf("10.1.2.3", true), ipLeaf("fd00::1", false)}},
		"DNS and IPv6":       {[]string{"internal", "fc00::/7"}, []leaf{dnsLeaf("a.internal", true), ipLeaf("10.1.2.3", false), ipLeaf("fd00::1", true)}},
		"IPv4 alone":         {[]string{"10.0.0.0/8"}, []leaf{dnsLeaf("a.internal", false), ipLeaf("10.1.2.3", true), ipLeaf("fd00::1", false)}},
		"IPv6 alone":         {[]string{"fc00::/7", "::1"}, []leaf{ipLeaf("::1", true), dnsLeaf("a.internal", false), ipLeaf("10.1.2.3", false), ipLeaf("fd00::1", true)}},
		"addresses, no name": {[]string{"10.0.0.0/8", "fc00::/7"}, []leaf{dnsLeaf("a.internal", false), ipLeaf("10.1.2.3", true), ipLeaf("fd00::1", true)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHierarchy(t, test.permitted...)
			leaves := slices.Concat(test.leaves, never())
			for i := range leaves {
				leaves[i].make(t, h)
			}
			for verifier, verify := range verifiers {
				verdicts := verify(t, h, leaves)
				for i, l := range leaves {
					// Java checks the path and no host, so a permitted name beside another common name is fine with it.
					want := l.ok || verifier == "Java" && l.name == "another common name than the permitted DNS name" &&
						h.permits("a.internal")
					if verdicts[i] != want {
						t.Errorf("%s: %s verifies: %v, should be %v", verifier, l.name, verdicts[i], want)
					}
				}
			}
		})
	}
}

func (h hierarchy) permits(name string) bool {
	return sign.NamesOf(h.root.Certificate).Contains(acme.IdentifierFor(name))
}

// TestNarrowerIntermediate has a root that permits more than its intermediate, and the other way round.
func TestNarrowerIntermediate(t *testing.T) {
	h := newHierarchy(t, "internal", "10.0.0.0/8")
	narrow, err := acme.ParseSubtrees([]string{"a.internal", "10.1.0.0/16"})
	check(t, err)
	config := sign.CAConfig{CommonName: "Narrow", Names: narrow, NotBefore: time.Now().Add(-time.Hour), Lifetime: time.Hour * 24}
	der, err := sign.NewIntermediate(h.intermediate.Key.Public(), h.root, config)
	check(t, err)
	h.intermediate.Certificate = parse(t, der)
	leaves := []leaf{dnsLeaf("a.internal", true), dnsLeaf("b.internal", false), ipLeaf("10.1.0.1", true), ipLeaf("10.0.0.1", false)}
	for i := range leaves {
		leaves[i].make(t, h)
	}
	for verifier, verify := range verifiers {
		for i, verdict := range verify(t, h, leaves) {
			if verdict != leaves[i].ok {
				t.Errorf("%s: %s verifies: %v", verifier, leaves[i].name, verdict)
			}
		}
	}
	for _, wrong := range [][]string{{"example.com", "10.1.0.0/16"}, {"a.internal"}, {"a.internal", "10.1.0.0/16", "fd00::/8"}} {
		config.Names, err = acme.ParseSubtrees(wrong)
		check(t, err)
		if _, err := sign.NewIntermediate(h.intermediate.Key.Public(), h.root, config); err == nil {
			t.Errorf("an intermediate permits %v under a root for internal and 10.0.0.0/8", wrong)
		}
	}
}

func TestNamesOf(t *testing.T) {
	for _, permitted := range [][]string{
		{"internal", "lan", "10.0.0.0/8", "192.0.2.7", "fc00::/7", "::1"},
		{"internal"}, {"10.0.0.0/8"}, {"fc00::/7"}, {"invalid", "0.0.0.0/0", "::/0"},
	} {
		h := newHierarchy(t, permitted...)
		for _, c := range []*x509.Certificate{h.root.Certificate, h.intermediate.Certificate} {
			if names := sign.NamesOf(c).Strings(); !slices.Equal(names, permitted) {
				t.Errorf("%s permits %v, not %v", c.Subject.CommonName, names, permitted)
			}
		}
	}
}

func TestHierarchyShape(t *testing.T) {
	h := newHierarchy(t, "internal")
	root, intermediate := h.root.Certificate, h.intermediate.Certificate
	usage := x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	for _, c := range []*x509.Certificate{root, intermediate} {
		if c.KeyUsage != usage || !c.IsCA || !c.PermittedDNSDomainsCritical || len(c.SubjectKeyId) != 20 || c.SerialNumber.BitLen() < 64 || len(c.SerialNumber.Bytes()) >= 20 {
			t.Errorf("%s has not the shape of a CA: %+v", c.Subject, c)
		}
	}
	if root.SignatureAlgorithm != x509.ECDSAWithSHA384 || len(root.ExtKeyUsage) != 0 || root.MaxPathLen != -1 {
		t.Error("the root is not P-384 with SHA-384, free of key purposes and path length")
	}
	if got := root.NotAfter.Sub(root.NotBefore); got != 20*365*24*time.Hour-time.Second {
		t.Errorf("the root lives for %s", got)
	}
	if !intermediate.MaxPathLenZero || !slices.Equal(intermediate.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) ||
		!bytes.Equal(intermediate.AuthorityKeyId, root.SubjectKeyId) || !bytes.Equal(intermediate.RawIssuer, root.RawSubject) ||
		!slices.Equal(intermediate.CRLDistributionPoints, []string{rootCRLURL}) || !slices.Equal(intermediate.IssuingCertificateURL, []string{rootURL}) {
		t.Errorf("the intermediate is not for servers alone under its root: %+v", intermediate)
	}
}

func TestHierarchyRefuses(t *testing.T) {
	h := newHierarchy(t, "internal")
	good := sign.CAConfig{CommonName: "CA", Names: sign.NamesOf(h.root.Certificate), NotBefore: time.Now(), Lifetime: time.Hour}
	change := func(f func(*sign.CAConfig)) sign.CAConfig { c := good; f(&c); return c }
	for name, c := range map[string]sign.CAConfig{
		"no name":          change(func(c *sign.CAConfig) { c.CommonName = "" }),
		"a long name":      change(func(c *sign.CAConfig) { c.CommonName = strings.Repeat("x", 65) }),
		"no lifetime":      change(func(c *sign.CAConfig) { c.Lifetime = 0 }),
		"nothing to allow": change(func(c *sign.CAConfig) { c.Names = acme.Subtrees{} }),
	} {
		if _, err := sign.NewRoot(h.root.Key, c); err == nil {
			t.Errorf("%s: made a root", name)
		}
		if _, err := sign.NewIntermediate(h.intermediate.Key.Public(), h.root, c); err == nil {
			t.Errorf("%s: made an intermediate", name)
		}
	}
	if _, err := sign.NewRoot(newKey(t, elliptic.P256()), good); err == nil {
		t.Error("made a root on P-256")
	}
	stranger := h.root
	stranger.Key = newKey(t, elliptic.P384())
	if _, err := sign.NewIntermediate(h.intermediate.Key.Public(), stranger, good); err == nil {
		t.Error("made an intermediate with another key than the root's")
	}
	good.Lifetime = 50 * 365 * 24 * time.Hour
	der, err := sign.NewIntermediate(h.intermediate.Key.Public(), h.root, good)
	check(t, err)
	if c := parse(t, der); !c.NotAfter.Equal(h.root.Certificate.NotAfter) {
		t.Errorf("the intermediate ends %s, its root %s", c.NotAfter, h.root.Certificate.NotAfter)
	}
}
