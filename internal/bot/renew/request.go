package renew

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/acme"
)

// mustStaple is the TLS feature extension that lists status_request: id-pe-tlsfeature, SEQUENCE { INTEGER 5 } (RFC 7633 §4.1, §6).
var mustStaple = pkix.Extension{
	Id:    asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24},
	Value: []byte{0x30, 0x03, 0x02, 0x01, 0x05},
}

// newCSR makes the DER of a certificate request (RFC 8555 §7.4) with an empty subject, for
// a common name would be one more place for a CA to disagree with.
func newCSR(key crypto.Signer, names []acme.Identifier, staple bool) ([]byte, error) {
	template := new(x509.CertificateRequest)
	for _, name := range names {
		if name.Type == acme.IP {
			template.IPAddresses = append(template.IPAddresses, net.ParseIP(name.Value))
		} else {
			template.DNSNames = append(template.DNSNames, name.Value)
		}
	}
	if staple {
		template.ExtraExtensions = append(template.ExtraExtensions, mustStaple)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, fmt.Errorf("making the certificate request: %w", err)
	}
	return der, nil
}

// key gives the private key of a certificate in PEM: a new one, that which is used again, or none for a CSR.
func (w Want) key() ([]byte, error) {
	switch {
	case w.CSR != nil:
		return nil, nil
	case len(w.Reuse) > 0:
		return w.Reuse, nil
	}
	key, err := w.Key.Generate()
	if err != nil {
		return nil, err
	}
	return EncodeKey(key)
}

// ParseCSR reads a certificate request in PEM or DER, as --csr gives it, and lists its names: the
// subject alternative names, and the common name where it is another (RFC 8555 §7.4).
func ParseCSR(text []byte) (der []byte, names []acme.Identifier, err error) {
	der = text
	if block, _ := pem.Decode(text); block != nil {
		if block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
			return nil, nil, fmt.Errorf("it holds a %s, not a CERTIFICATE REQUEST", strings.ToLower(block.Type))
		}
		der = block.Bytes
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, nil, fmt.Errorf("it is no certificate request in PEM or DER: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, nil, fmt.Errorf("the signature of the certificate request: %w", err)
	}
	if len(request.EmailAddresses)+len(request.URIs) > 0 {
		return nil, nil, errors.New("the certificate request has e-mail addresses or URIs among its names: only DNS names and IP addresses can be certified")
	}
	for _, name := range request.DNSNames {
		names = append(names, acme.IdentifierFor(name))
	}
	for _, address := range request.IPAddresses {
		names = append(names, acme.IdentifierFor(address.String()))
	}
	if len(names) == 0 {
		return nil, nil, errors.New("the certificate request has no subject alternative names: make it with the names in that extension, such as openssl req -addext subjectAltName=DNS:example.com")
	}
	if common := acme.IdentifierFor(request.Subject.CommonName); common.Value != "" && !slices.Contains(names, common) {
		names = append(names, common)
	}
	for _, name := range names {
		if _, problem := name.Normalize(); problem != nil {
			return nil, nil, fmt.Errorf("a name of the certificate request: %s", problem.Detail)
		}
	}
	return request.Raw, names, nil
}

// refused lists the names that a CA would not certify, or found no proof for.
func refused(err error) []acme.Identifier {
	var authorization *AuthorizationError
	var problem *acme.Problem
	var bad []acme.Identifier
	switch {
	case errors.As(err, &authorization):
		for _, failure := range authorization.Failures {
			bad = append(bad, failure.Identifier)
		}
	case errors.As(err, &problem):
		for _, sub := range problem.Subproblems { // RFC 8555 §6.7.1
			if sub.Identifier != nil && slices.Contains(nameProblems, sub.Type) {
				bad = append(bad, *sub.Identifier)
			}
		}
	}
	return bad
}

// nameProblems are about one name, so that the others may do without it.
var nameProblems = []acme.ProblemType{
	acme.TypeRejectedIdentifier, acme.TypeUnsupportedIdentifier, acme.TypeCAA, acme.TypeDNS, acme.TypeMalformed,
}

// listed shows names in a sentence.
func listed(names []acme.Identifier) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = name.Value
	}
	return strings.Join(list, ", ")
}
