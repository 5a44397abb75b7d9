package acme

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"fmt"

	strict "github.com/go-jose/go-jose/v4/json"
)

// PossessionResponse is the response to a proof-of-possession-01 challenge: a JWS by the key of a
// certificate that names the identifier. The type is that of draft-barnes-acme-04, with a token,
// since a signature without one could be shown again.
type PossessionResponse struct {
	// Authorization is a flattened JWS whose header has the certificate's key as "jwk" and the challenge's
	// URL as "url", and no nonce. Its payload is a PossessionClaim.
	Authorization json.RawMessage `json:"authorization"`
	// Certificates are needed where the challenge does not list the certificate: it, and
	// those above it. Each is base64url of the DER.
	Certificates []string `json:"certificates,omitempty"`
}

// PossessionClaim is what the key of a certificate signs: that an account may act for identifiers.
type PossessionClaim struct {
	Type        ChallengeType   `json:"type"`
	Token       string          `json:"token"`
	Identifiers []Identifier    `json:"identifiers"`
	AccountKey  json.RawMessage `json:"accountKey"` // a JWK
}

// MaxPossessionCertificates is how many certificates a response, and a challenge, may have.
const MaxPossessionCertificates = 8

// ReadPossessionResponse reads a response to a proof-of-possession-01 challenge: the JWS, whose
// signature is still to be verified, and the certificates that came with it, in DER.
func ReadPossessionResponse(payload []byte) (*JWS, [][]byte, *Problem) {
	var response PossessionResponse
	if err := strict.Unmarshal(payload, &response); err != nil || len(response.Authorization) == 0 {
		return nil, nil, Problemf(TypeMalformed, `the response to proof-of-possession-01 needs an "authorization": a JWS by the key of a certificate`)
	}
	if len(response.Certificates) > MaxPossessionCertificates {
		return nil, nil, Problemf(TypeMalformed, `"certificates" has %d entries: send the certificate and those above it, at most %d`, len(response.Certificates), MaxPossessionCertificates)
	}
	jws, problem := ParseJWS(response.Authorization)
	if problem != nil {
		problem.Detail = `"authorization": ` + problem.Detail
		return nil, nil, problem
	}
	var certificates [][]byte
	for _, text := range response.Certificates {
		der, problem := DecodeBase64URL("certificates", text)
		if problem != nil {
			return nil, nil, problem
		}
		certificates = append(certificates, der)
	}
	return jws, certificates, nil
}

// ReadPossessionClaim reads the payload of the JWS in a response. It has its four members and no others, so that
// nothing that is signed for another purpose can pass for it.
func ReadPossessionClaim(payload []byte) (PossessionClaim, *Key, *Problem) {
	var members map[string]json.RawMessage
	var claim PossessionClaim
	if strict.Unmarshal(payload, &members) != nil || strict.Unmarshal(payload, &claim) != nil {
		return claim, nil, Problemf(TypeMalformed, `the payload of "authorization" is not a JSON object with a type, a token, identifiers and an account key`)
	}
	for _, name := range []string{"type", "token", "identifiers", "accountKey"} {
		if _, ok := members[name]; !ok || len(members) != 4 {
			return claim, nil, Problemf(TypeMalformed, `the payload of "authorization" must have "type", "token", "identifiers" and "accountKey", and nothing else`)
		}
	}
	key, problem := ParseKey(claim.AccountKey)
	if problem != nil {
		problem.Detail = `"accountKey": ` + problem.Detail
		return claim, nil, problem
	}
	return claim, key, nil
}

// Possession is what SignPossession makes a response of.
type Possession struct {
	Challenge   Challenge
	Identifiers []Identifier
	AccountKey  *Key
	Chain       [][]byte // in DER, the certificate first; nil where the challenge lists it
}

// SignPossession makes the response to a proof-of-possession-01 challenge with the key of a certificate.
func SignPossession(key crypto.Signer, p Possession) (*PossessionResponse, error) {
	jwk, err := p.AccountKey.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encoding the account's key: %w", err)
	}
	claim, err := json.Marshal(PossessionClaim{Type: ProofOfPossession01, Token: p.Challenge.Token, Identifiers: p.Identifiers, AccountKey: jwk})
	if err != nil {
		return nil, fmt.Errorf("encoding the claim: %w", err)
	}
	public, err := NewKey(key.Public())
	if err != nil {
		return nil, err
	}
	jws, err := SignJWS(key, Header{URL: p.Challenge.URL, Key: public}, claim)
	if err != nil {
		return nil, fmt.Errorf("signing the claim: %w", err)
	}
	response := &PossessionResponse{Authorization: jws}
	for _, der := range p.Chain {
		response.Certificates = append(response.Certificates, base64.RawURLEncoding.EncodeToString(der))
	}
	return response, nil
}
