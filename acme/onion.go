package acme

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha3"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-jose/go-jose/v4/json"
)

const onionSuffix = ".onion"

// IsOnion reports whether a domain name is one of Tor's, under .onion (RFC 7686).
func IsOnion(name string) bool {
	return name == onionSuffix[1:] || strings.HasSuffix(name, onionSuffix)
}

// OnionService is the name of the onion service that a domain name under .onion is
// part of: its last two labels. Everything below a service belongs to it (RFC 9799 §6.1).
func OnionService(name string) string {
	rest := strings.TrimSuffix(name, onionSuffix)
	return rest[strings.LastIndexByte(rest, '.')+1:] + onionSuffix
}

// OnionKey is the key that a domain name under .onion is made of. Only names of version 3 are
// taken (RFC 9799 §2): 56 characters of base32 that hold a key, a checksum and the version.
func OnionKey(name string) (ed25519.PublicKey, error) {
	label := strings.TrimSuffix(OnionService(name), onionSuffix)
	data, err := base32Lower.DecodeString(label)
	if err != nil || len(data) != ed25519.PublicKeySize+3 {
		return nil, fmt.Errorf("%.64s%s is not the name of an onion service of version 3, which has 56 characters", label, onionSuffix)
	}
	key, checksum, version := data[:ed25519.PublicKeySize], data[ed25519.PublicKeySize:][:2], data[len(data)-1]
	want := sha3.Sum256([]byte(".onion checksum" + string(key) + "\x03"))
	if version != 3 || string(checksum) != string(want[:2]) {
		return nil, fmt.Errorf("%.64s%s is not the name of an onion service of version 3: its checksum or its version is wrong", label, onionSuffix)
	}
	return key, nil
}

// OnionName is the name of the onion service that has a key.
func OnionName(key ed25519.PublicKey) string {
	checksum := sha3.Sum256([]byte(".onion checksum" + string(key) + "\x03"))
	return base32Lower.EncodeToString([]byte(string(key)+string(checksum[:2])+"\x03")) + onionSuffix
}

// OnionCSRResponse is the response to an onion-csr-01 challenge (RFC 9799 §3.2).
type OnionCSRResponse struct {
	CSR string `json:"csr"` // base64url of the DER, without padding
}

// ReadOnionCSRResponse reads the CSR, in DER, out of a response to an onion-csr-01 challenge.
func ReadOnionCSRResponse(payload []byte) ([]byte, *Problem) {
	var response OnionCSRResponse
	if err := json.Unmarshal(payload, &response); err != nil || response.CSR == "" {
		return nil, Problemf(TypeMalformed, `the response to onion-csr-01 needs a "csr": a request that the key of the onion service has signed (RFC 9799 §3.2)`)
	}
	return DecodeBase64URL("csr", response.CSR)
}

// The attributes of a CSR that proves control of an onion service (RFC 9799 §3.2, BR Appendix B.2.b).
var (
	oidCASigningNonce        = asn1.ObjectIdentifier{2, 23, 140, 41}
	oidApplicantSigningNonce = asn1.ObjectIdentifier{2, 23, 140, 42}
	oidEd25519               = asn1.ObjectIdentifier{1, 3, 101, 112}
)

// onionAttribute is an attribute with one value (RFC 2986 §4.1).
type onionAttribute struct {
	Type   asn1.ObjectIdentifier
	Values [][]byte `asn1:"set"`
}

// onionTBS is a CertificationRequestInfo (RFC 2986 §4.1).
type onionTBS struct {
	Raw        asn1.RawContent
	Version    int
	Subject    asn1.RawValue
	PublicKey  asn1.RawValue
	Attributes []asn1.RawValue `asn1:"tag:0,set"`
}

// OnionNonces reads the nonces of the CA and of the applicant out of the attributes of a
// CSR's CertificationRequestInfo, in DER. One that is not there is nil.
func OnionNonces(tbs []byte) (ca, applicant []byte, err error) {
	var info onionTBS
	if rest, err := asn1.Unmarshal(tbs, &info); err != nil || len(rest) > 0 {
		return nil, nil, errors.New("the attributes of the CSR cannot be read")
	}
	for _, raw := range info.Attributes {
		var kind struct {
			Type   asn1.ObjectIdentifier
			Values asn1.RawValue
		}
		if rest, err := asn1.Unmarshal(raw.FullBytes, &kind); err != nil || len(rest) > 0 {
			return nil, nil, errors.New("an attribute of the CSR cannot be read")
		}
		nonce := &ca
		switch {
		case kind.Type.Equal(oidCASigningNonce):
		case kind.Type.Equal(oidApplicantSigningNonce):
			nonce = &applicant
		default:
			continue
		}
		var attribute onionAttribute
		if rest, err := asn1.Unmarshal(raw.FullBytes, &attribute); err != nil || len(rest) > 0 || len(attribute.Values) != 1 || *nonce != nil {
			return nil, nil, errors.New("a nonce of the CSR is not one OCTET STRING")
		}
		*nonce = attribute.Values[0]
	}
	return ca, applicant, nil
}

// NewOnionCSR makes the CSR that answers an onion-csr-01 challenge, in DER: with the challenge's nonce and one of
// its own, signed by the key of the onion service, which is an Ed25519 key (RFC 9799 §3.2).
func NewOnionCSR(key crypto.Signer, nonce string) ([]byte, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("the key of an onion service is an Ed25519 key")
	}
	caNonce, err := base64.StdEncoding.Strict().DecodeString(nonce)
	if err != nil {
		return nil, fmt.Errorf("the nonce of the challenge is not base64: %w", err)
	}
	var applicant [16]byte
	_, _ = rand.Read(applicant[:]) // never fails
	algorithm := struct{ Algorithm asn1.ObjectIdentifier }{oidEd25519}
	info := struct {
		Version   int
		Subject   struct{} // RFC 9799 §3.2: it need not mean anything
		PublicKey struct {
			Algorithm struct{ Algorithm asn1.ObjectIdentifier }
			Key       asn1.BitString
		}
		Attributes []onionAttribute `asn1:"tag:0,set"`
	}{Attributes: []onionAttribute{{oidCASigningNonce, [][]byte{caNonce}}, {oidApplicantSigningNonce, [][]byte{applicant[:]}}}}
	info.PublicKey.Algorithm, info.PublicKey.Key = algorithm, asn1.BitString{Bytes: public, BitLength: 8 * len(public)}
	tbs, err := asn1.Marshal(info)
	if err != nil {
		return nil, fmt.Errorf("encoding the CSR: %w", err)
	}
	signature, err := key.Sign(rand.Reader, tbs, crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("signing the CSR: %w", err)
	}
	return asn1.Marshal(struct {
		Info      asn1.RawValue
		Algorithm struct{ Algorithm asn1.ObjectIdentifier }
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: tbs}, algorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
}

// OnionCAA is a CAA record set that an onion service has signed, part of a finalize request (RFC 9799 §6.4).
type OnionCAA struct {
	// CAA has a record on each line, as in the service's descriptor: `caa 128 issue "ca.example"`. nil: there are none.
	CAA       *string `json:"caa"`
	Expiry    int64   `json:"expiry"`    // Unix time
	Signature string  `json:"signature"` // base64url
}

// Signed is what the signature of c is over (RFC 9799 §6.4).
func (c OnionCAA) Signed() []byte {
	text := "onion-caa|" + strconv.FormatInt(c.Expiry, 10) + "|"
	if c.CAA != nil {
		text += *c.CAA
	}
	return []byte(text)
}

// Verify reports whether the onion service with a key has signed c. The RFC's example
// has padding after the base64url, so that is taken, too.
func (c OnionCAA) Verify(key ed25519.PublicKey) bool {
	signature, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimSuffix(c.Signature, "=="))
	return err == nil && len(signature) == ed25519.SignatureSize && ed25519.Verify(key, c.Signed(), signature)
}

// SignOnionCAA signs a CAA record set (nil for none) with the key of an onion service.
func SignOnionCAA(key crypto.Signer, caa *string, expiry int64) (OnionCAA, error) {
	c := OnionCAA{CAA: caa, Expiry: expiry}
	signature, err := key.Sign(rand.Reader, c.Signed(), crypto.Hash(0))
	if err != nil {
		return OnionCAA{}, fmt.Errorf("signing CAA records: %w", err)
	}
	c.Signature = base64.RawURLEncoding.EncodeToString(signature)
	return c, nil
}
