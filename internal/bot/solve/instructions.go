package solve

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// instructions say what a person has to do. Each value stands alone on its line, so that
// it can be copied; what is in the commands is base64url and names, which a shell leaves alone.
func (t *task) instructions() string {
	var b strings.Builder
	name := t.Identifier.Value
	if t.Wildcard {
		name = "*." + name
	}
	fmt.Fprintf(&b, "Challenge %d of %d: prove control of %s (%s)\n\n", t.Index+1, max(1, len(t.All)), name, t.Type)
	switch t.Type {
	case acme.HTTP01:
		t.tellFile(&b)
	case acme.TLSALPN01:
		t.tellCertificate(&b)
	default:
		t.tellRecord(&b)
	}
	if t.Index > 0 {
		b.WriteString("\nThis comes in addition to the previous challenges: leave what you set up for them as it is until the certificate is there.")
		if t.record != "" {
			b.WriteString(" One name can have several TXT records.")
		}
		b.WriteString("\n")
	}
	if t.record != "" && t.Index == len(t.All)-1 {
		t.tellCheck(&b)
	}
	return b.String()
}

func (t *task) tellFile(b *strings.Builder) {
	fmt.Fprintf(b, "Make a file that holds just this:\n\n%s\n\n", t.validation)
	fmt.Fprintf(b, "and have your web server serve it at this address:\n\n%s\n\n", t.url())
	b.WriteString("If no web server runs on that machine, these commands serve it until you press Ctrl-C there (as root, for port 80):\n\n")
	path := strings.TrimPrefix(acme.HTTP01Path, "/")
	fmt.Fprintf(b, "cd \"$(mktemp -d)\" && mkdir -p %s\nprintf '%%s' %s > %s%s\npython3 -m http.server 80\n", path, t.validation, path, t.Token)
}

// url is where the CA looks.
func (t *task) url() string {
	host := t.Identifier.Value
	if t.Identifier.Type == acme.IP && strings.Contains(host, ":") {
		host = net.JoinHostPort(host, "")
		host = strings.TrimSuffix(host, ":")
	}
	return "http://" + host + acme.HTTP01Path + t.Token
}

func (t *task) tellRecord(b *strings.Builder) {
	fmt.Fprintf(b, "Put a TXT record into the DNS under this name:\n\n%s\n\nwith this value:\n\n%s\n", t.record, t.validation)
	if t.Type == acme.DNSPersist01 {
		b.WriteString("\nThe record is good for renewals, too: leave it there afterwards.\n")
	}
}

// tellCheck says how to see whether a record is there: once the CA has looked and not found it, the order is lost.
func (t *task) tellCheck(b *strings.Builder) {
	fmt.Fprintf(b, "\nBefore you go on, look whether the record has arrived; it can take minutes, and a CA that does not find it ends the order:\n\ndig +short TXT %s\n", t.record)
	fmt.Fprintf(b, "\nThis has to print the value above. https://toolbox.googleapps.com/apps/dig/#TXT/%s shows it as others see it.\n", t.record)
}

func (t *task) tellCertificate(b *strings.Builder) {
	fmt.Fprintf(b, "Have the TLS server on port 443 show this certificate to whoever asks for %s with the protocol %s:\n\n%s",
		serverName(t.Identifier), acme.ALPNProtocol, t.certificate)
}

// alpnPEM makes the answer to a tls-alpn-01 challenge as certificate and key, in PEM. The key is good for nothing else.
func alpnPEM(c renew.Challenge) (string, error) {
	certificate, err := ALPNCertificate(c.Identifier, c.KeyAuthorization, time.Now())
	if err != nil {
		return "", err
	}
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		return "", fmt.Errorf("encoding the challenge's key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})), nil
}
