package trust_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca/trust"
)

// newPage returns a page with everything on it.
func newPage(t *testing.T) trust.Page {
	return trust.Page{
		Directory: "https://ca.home.arpa:8443/directory",
		RootPEM:   "http://ca.home.arpa:8080/root.pem",
		RootDER:   "http://ca.home.arpa:8080/root.der",
		Root:      newAuthority(t).root,
		Names:     []string{"home.arpa", "<corp>.example", "10.0.0.0/8"},
		Terms:     "https://ca.home.arpa:8443/terms",
	}
}

func TestFingerprint(t *testing.T) {
	root := newAuthority(t).root
	sum := sha256.Sum256(root.Raw)
	if got, want := trust.Fingerprint(root), hex.EncodeToString(sum[:]); got != want {
		t.Errorf("Fingerprint = %s, want %s", got, want)
	}
	colons := trust.FingerprintColons(root)
	if !regexp.MustCompile(`^([0-9A-F]{2}:){31}[0-9A-F]{2}$`).MatchString(colons) {
		t.Errorf("FingerprintColons = %s", colons)
	}
	if got := strings.ToLower(strings.ReplaceAll(colons, ":", "")); got != trust.Fingerprint(root) {
		t.Errorf("the two forms differ: %s and %s", got, trust.Fingerprint(root))
	}
}

// TestHTML reads the page with a strict parser and follows every attribute that could load or lead.
func TestHTML(t *testing.T) {
	p := newPage(t)
	var page bytes.Buffer
	if err := p.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	allowed := []string{p.Directory, p.RootPEM, p.RootDER, p.Terms}
	var text, style strings.Builder
	var open []string
	seen := map[string]bool{}
	decoder := xml.NewDecoder(&page)
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			open = append(open, token.Name.Local)
			if slices.Contains([]string{"script", "img", "link", "iframe", "object", "form", "base"}, token.Name.Local) {
				t.Errorf("the page has a <%s>", token.Name.Local)
			}
			for _, attr := range token.Attr {
				switch name := attr.Name.Local; {
				case name == "href":
					seen[attr.Value] = true
					if !slices.Contains(allowed, attr.Value) {
						t.Errorf("a link leads to %s", attr.Value)
					}
				case name == "src" || name == "style" || strings.HasPrefix(name, "on"):
					t.Errorf("<%s> has %s=%q", token.Name.Local, name, attr.Value)
				}
			}
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 && open[len(open)-1] == "style" {
				style.Write(token)
			} else {
				text.Write(token)
			}
		}
	}
	for _, link := range allowed {
		if !seen[link] {
			t.Errorf("no link to %s", link)
		}
	}
	checkContent(t, p, text.String())
	if strings.Contains(style.String(), "url(") || strings.Contains(style.String(), "@import") {
		t.Error("the style loads something")
	}

	checkPolicy(t, style.String())
}

// checkPolicy checks that the page's header lets its style through and nothing else.
func checkPolicy(t *testing.T, style string) {
	t.Helper()
	header := http.Header{}
	trust.SetHeaders(header)
	sum := sha256.Sum256([]byte(style))
	policy := header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"';") {
		t.Errorf("the policy does not let the page's style through: %s", policy)
	}
}

func TestText(t *testing.T) {
	p := newPage(t)
	p.RootFile = "/var/lib/cairn/root.pem"
	var text strings.Builder
	if err := p.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	checkContent(t, p, text.String())
	if !strings.Contains(text.String(), p.RootFile) {
		t.Error("the root's file is not named")
	}
	var summary strings.Builder
	if err := p.WriteSummary(&summary); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(text.String(), summary.String()) {
		t.Error("the text does not begin with the summary")
	}
}

// checkContent checks what both faces of a page say, and that the names come before the fingerprint.
func checkContent(t *testing.T, p trust.Page, text string) {
	t.Helper()
	wanted := slices.Concat(p.Names, []string{
		p.Directory, p.Colons(), p.Hex(), p.Expires(), p.Root.Subject.CommonName,
		"Debian", "Fedora", "macOS", "Windows", "Firefox", "Java", "container", "OpenSSL",
	})
	for _, client := range p.Clients() {
		wanted = append(wanted, client.Name)
	}
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, name := range p.Names {
		if strings.Index(text, name) > strings.Index(text, p.Colons()) {
			t.Errorf("the name %q comes after the fingerprint", name)
		}
	}
}

// TestRefuses gives pages whose commands would not be what they seem.
func TestRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*trust.Page)
	}{
		{"no root", func(p *trust.Page) { p.Root = nil }},
		{"no directory", func(p *trust.Page) { p.Directory = "" }},
		{"not http", func(p *trust.Page) { p.RootPEM = "file:///etc/passwd" }},
		{"a command", func(p *trust.Page) { p.RootDER = "http://ca.lan/$(reboot)" }},
		{"a second word", func(p *trust.Page) { p.RootDER = "http://ca.lan/root.der -o /x" }},
		{"a quote", func(p *trust.Page) { p.Directory = "https://ca.lan/'directory" }},
		{"a line", func(p *trust.Page) { p.Directory = "https://ca.lan/\ndirectory" }},
		{"a script", func(p *trust.Page) { p.Terms = "javascript:alert(1)" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPage(t)
			test.change(&p)
			for name, write := range map[string]func(io.Writer) error{"HTML": p.WriteHTML, "text": p.WriteText, "summary": p.WriteSummary} {
				var out bytes.Buffer
				if err := write(&out); err == nil || out.Len() != 0 {
					t.Errorf("%s: wrote %d bytes, error %v", name, out.Len(), err)
				}
			}
		})
	}
}

// Whoever copies a command should know before that it will be refused without a key.
func TestKeyNeeded(t *testing.T) {
	for _, needed := range []bool{false, true} {
		p := newPage(t)
		p.KeyNeeded = needed
		var html, text bytes.Buffer
		if err := errors.Join(p.WriteHTML(&html), p.WriteSummary(&text)); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(html.String(), "(external account binding, EAB)") != needed || strings.Contains(text.String(), "`cairn eab create`") != needed {
			t.Errorf("a key is needed: %v, and the pages say %s%s", needed, html.String(), text.String())
		}
	}
}
