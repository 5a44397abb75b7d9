package sign

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Usage is an extended key usage (RFC 5280 §4.2.1.12): ServerAuth, ClientAuth, or an
// object identifier in digits with dots.
type Usage string

// The usages that have a name here.
const (
	ServerAuth Usage = "serverAuth" // id-kp-serverAuth
	ClientAuth Usage = "clientAuth" // id-kp-clientAuth
)

const (
	oidServerAuth = "1.3.6.1.5.5.7.3.1"
	oidClientAuth = "1.3.6.1.5.5.7.3.2"
)

// refusedUsages are those that no certificate is issued with, each with its reason.
func refusedUsages() map[Usage]string {
	return map[Usage]string{
		"2.5.29.37.0":             "anyExtendedKeyUsage allows everything: name what the certificates are for",
		"1.3.6.1.5.5.7.3.9":       "OCSPSigning would let its holder say what this CA has revoked",
		"1.3.6.1.4.1.11129.2.4.4": "it is for CAs that sign precertificates",
	}
}

// ParseUsage reads "serverAuth", "clientAuth" or an object identifier.
func ParseUsage(text string) (Usage, error) {
	switch {
	case strings.EqualFold(text, string(ServerAuth)), text == oidServerAuth:
		return ServerAuth, nil
	case strings.EqualFold(text, string(ClientAuth)), text == oidClientAuth:
		return ClientAuth, nil
	}
	if why, refused := refusedUsages()[Usage(text)]; refused {
		return "", fmt.Errorf("the usage %q is not possible: %s", text, why)
	}
	if _, ok := parseOID(text); !ok {
		return "", fmt.Errorf("%q is not an extended key usage: use serverAuth, clientAuth or an object identifier such as 1.3.6.1.5.5.7.3.17", text)
	}
	return Usage(text), nil
}

// parseOID reads an object identifier in its one form.
func parseOID(text string) (asn1.ObjectIdentifier, bool) {
	parts := strings.Split(text, ".")
	if len(parts) < 3 || len(parts) > 20 {
		return nil, false
	}
	oid := make(asn1.ObjectIdentifier, len(parts))
	for i, part := range parts {
		number, err := strconv.ParseUint(part, 10, 31)
		if err != nil || strconv.FormatUint(number, 10) != part {
			return nil, false
		}
		oid[i] = int(number)
	}
	return oid, oid[0] <= 2 && (oid[0] == 2 || oid[1] < 40)
}

// setUsages puts usages, which ParseUsage made, into a template.
func setUsages(t *x509.Certificate, usages []Usage) {
	for _, usage := range usages {
		switch usage {
		case ServerAuth:
			t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		case ClientAuth:
			t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
		default:
			if oid, ok := parseOID(string(usage)); ok {
				t.UnknownExtKeyUsage = append(t.UnknownExtKeyUsage, oid)
			}
		}
	}
}

// permitsUsage reports whether verifiers that look at a CA's extended key usages, as most do, accept
// usage below cert.
func permitsUsage(cert *x509.Certificate, usage Usage) bool {
	var wanted x509.Certificate
	setUsages(&wanted, []Usage{usage})
	if len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) == 0 {
		return true
	}
	for _, known := range wanted.ExtKeyUsage {
		return slices.Contains(cert.ExtKeyUsage, known)
	}
	return slices.ContainsFunc(cert.UnknownExtKeyUsage, func(oid asn1.ObjectIdentifier) bool {
		return oid.Equal(wanted.UnknownExtKeyUsage[0])
	})
}

// MissingUsages lists which of usages the certificate of a CA does not allow below it.
func MissingUsages(cert *x509.Certificate, usages []Usage) (missing []Usage) {
	for _, usage := range usages {
		if !permitsUsage(cert, usage) {
			missing = append(missing, usage)
		}
	}
	return missing
}
