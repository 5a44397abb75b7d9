package sign

import (
	"crypto"
	"crypto/x509"
	encoding "encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Extensions of a subscriber's certificate (RFC 5280 §4.2), and what is in them.
var (
	oidKeyUsage         = encoding.ObjectIdentifier{2, 5, 29, 15}
	oidExtKeyUsage      = encoding.ObjectIdentifier{2, 5, 29, 37}
	oidBasicConstraints = encoding.ObjectIdentifier{2, 5, 29, 19}
	oidSubjectKeyID     = encoding.ObjectIdentifier{2, 5, 29, 14}
	oidAuthorityKeyID   = encoding.ObjectIdentifier{2, 5, 29, 35}
	oidAuthorityInfo    = encoding.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 1}
	oidOCSP             = encoding.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1}
	oidIssuers          = encoding.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 2}
	oidAlternativeName  = encoding.ObjectIdentifier{2, 5, 29, 17}
	oidDistribution     = encoding.ObjectIdentifier{2, 5, 29, 31}

	oidForServers = encoding.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	oidForClients = encoding.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
)

// tbsCertificate encodes the TBSCertificate of a subscriber's certificate (RFC 5280 §4.1), octet for octet as
// x509.CreateCertificate does, which cannot do it without making and checking a signature. Fields that
// no profile sets are not looked at; algorithm is the DER of the AlgorithmIdentifier.
func tbsCertificate(template, issuer *x509.Certificate, pub crypto.PublicKey, algorithm []byte) ([]byte, error) {
	subject, err := encoding.Marshal(template.Subject.ToRDNSequence())
	if err != nil {
		return nil, fmt.Errorf("encoding the subject: %w", err)
	}
	key, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("encoding the key: %w", err)
	}
	for _, text := range slices.Concat(template.DNSNames, template.OCSPServer, template.IssuingCertificateURL, template.CRLDistributionPoints) {
		if !isIA5(text) {
			return nil, fmt.Errorf("%q is not in ASCII", text)
		}
	}
	if template.IsCA {
		return nil, errors.New("it is the certificate of a CA")
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, 1024))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) { b.AddASN1Int64(2) }) // v3
		b.AddASN1BigInt(template.SerialNumber)
		b.AddBytes(algorithm)
		b.AddBytes(issuer.RawSubject)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addTime(b, template.NotBefore)
			addTime(b, template.NotAfter)
		})
		b.AddBytes(subject)
		b.AddBytes(key)
		b.AddASN1(asn1.Tag(3).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addUsages(b, template)
				addKeyIDs(b, template, issuer)
				addPlaces(b, template)
				addNames(b, template, len(template.Subject.ToRDNSequence()) == 0)
				addDistribution(b, template)
				for _, e := range template.ExtraExtensions {
					addExtension(b, e.Id, e.Critical, func(b *cryptobyte.Builder) { b.AddBytes(e.Value) })
				}
			})
		})
	})
	return b.Bytes()
}

// addExtension adds one Extension (RFC 5280 §4.1.2.9), whose value is what add adds.
func addExtension(b *cryptobyte.Builder, id encoding.ObjectIdentifier, critical bool, add cryptobyte.BuilderContinuation) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(id)
		if critical { // DEFAULT FALSE
			b.AddASN1Boolean(true)
		}
		b.AddASN1(asn1.OCTET_STRING, add)
	})
}

// addTime adds a Time: UTCTime through 2049, GeneralizedTime from then on (RFC 5280 §4.1.2.5).
func addTime(b *cryptobyte.Builder, t time.Time) {
	t = t.UTC()
	if t.Year() < 2050 {
		b.AddASN1UTCTime(t)
	} else {
		b.AddASN1GeneralizedTime(t)
	}
}

// addUsages adds keyUsage (RFC 5280 §4.2.1.3), extKeyUsage (§4.2.1.12) and basicConstraints (§4.2.1.9).
func addUsages(b *cryptobyte.Builder, t *x509.Certificate) {
	addExtension(b, oidKeyUsage, true, func(b *cryptobyte.Builder) {
		bits, unused := byte(0), byte(8)
		for i := range 8 { // bit 0 is the highest; those after the last one that is set are left out
			if t.KeyUsage&(1<<i) != 0 {
				bits, unused = bits|0x80>>i, byte(7-i)
			}
		}
		b.AddASN1(asn1.BIT_STRING, func(b *cryptobyte.Builder) { b.AddBytes([]byte{unused, bits}) })
	})
	addExtension(b, oidExtKeyUsage, false, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, usage := range t.ExtKeyUsage {
				switch usage {
				case x509.ExtKeyUsageServerAuth:
					b.AddASN1ObjectIdentifier(oidForServers)
				case x509.ExtKeyUsageClientAuth:
					b.AddASN1ObjectIdentifier(oidForClients)
				default:
					b.SetError(fmt.Errorf("the extended key usage %d has no name here", usage))
				}
			}
			for _, usage := range t.UnknownExtKeyUsage {
				b.AddASN1ObjectIdentifier(usage)
			}
		})
	})
	addExtension(b, oidBasicConstraints, true, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(*cryptobyte.Builder) {}) // cA is FALSE by default
	})
}

// addKeyIDs adds subjectKeyIdentifier, if there is one, and authorityKeyIdentifier (RFC 5280 §4.2.1.2, §4.2.1.1).
func addKeyIDs(b *cryptobyte.Builder, t, issuer *x509.Certificate) {
	if len(t.SubjectKeyId) > 0 {
		addExtension(b, oidSubjectKeyID, false, func(b *cryptobyte.Builder) { b.AddASN1OctetString(t.SubjectKeyId) })
	}
	addExtension(b, oidAuthorityKeyID, false, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(issuer.SubjectKeyId) })
		})
	})
}

// addPlaces adds authorityInfoAccess (RFC 5280 §4.2.2.1).
func addPlaces(b *cryptobyte.Builder, t *x509.Certificate) {
	if len(t.OCSPServer)+len(t.IssuingCertificateURL) == 0 {
		return
	}
	addExtension(b, oidAuthorityInfo, false, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, url := range t.OCSPServer {
				addPlace(b, oidOCSP, url)
			}
			for _, url := range t.IssuingCertificateURL {
				addPlace(b, oidIssuers, url)
			}
		})
	})
}

func addPlace(b *cryptobyte.Builder, method encoding.ObjectIdentifier, url string) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(method)
		addGeneralName(b, nameURI, []byte(url))
	})
}

// Kinds of GeneralName (RFC 5280 §4.2.1.6).
const (
	nameDNS = 2
	nameURI = 6
	nameIP  = 7
)

func addGeneralName(b *cryptobyte.Builder, kind uint8, value []byte) {
	b.AddASN1(asn1.Tag(kind).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(value) })
}

// addNames adds subjectAltName, which is critical if the subject is empty (RFC 5280 §4.2.1.6).
func addNames(b *cryptobyte.Builder, t *x509.Certificate, critical bool) {
	addExtension(b, oidAlternativeName, critical, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, name := range t.DNSNames {
				addGeneralName(b, nameDNS, []byte(name))
			}
			for _, ip := range t.IPAddresses {
				addGeneralName(b, nameIP, shortest(ip))
			}
		})
	})
}

// addDistribution adds cRLDistributionPoints (RFC 5280 §4.2.1.13), one for each URL.
func addDistribution(b *cryptobyte.Builder, t *x509.Certificate) {
	if len(t.CRLDistributionPoints) == 0 {
		return
	}
	addExtension(b, oidDistribution, false, func(b *cryptobyte.Builder) {
		inner := asn1.Tag(0).Constructed().ContextSpecific()
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, url := range t.CRLDistributionPoints {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(inner, func(b *cryptobyte.Builder) { // distributionPoint
						b.AddASN1(inner, func(b *cryptobyte.Builder) { addGeneralName(b, nameURI, []byte(url)) }) // fullName
					})
				})
			}
		})
	})
}

func isIA5(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}
