package front

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// maxBody is the largest request. The largest that makes sense finalizes an order
// for 100 names of 253 octets with an RSA key of 8192 bits: 28 KiB of CSR, which
// base64url (twice, as a member of the payload and as the payload) makes 50 KiB of.
const maxBody = 64 << 10

// request is what a client signed. Only authenticate makes one, inside of an
// accountRequest or a keyRequest: a handler that takes one of these cannot be
// reached without a signature.
type request struct {
	base    base
	url     string   // of the resource; the client signed it
	ids     []string // the identifiers in its path
	query   url.Values
	accept  []string    // the Accept headers
	payload []byte      // empty for POST-as-GET (RFC 8555 §6.3)
	client  netip.Addr  // who sent it
	header  http.Header // of the response
}

// accountRequest is a request signed with the key of an account, which was valid then.
type accountRequest struct {
	request
	account rules.Account
	kid     string // the account's URL as the client knows it
}

// keyRequest is a request signed with a key that need not have an account.
type keyRequest struct {
	request
	key *acme.Key
}

// authenticate checks who signed a request and has it handled. The cheapest checks
// come first: size, media type, form, nonce, URL, key, signature, account. The
// nonce comes before the signature so that it is spent whatever follows (RFC 8555
// §6.5), and so that each signature we verify costs its sender a round trip; nobody
// can spend another's nonce, since nobody else has seen it.
func (f *Front) authenticate(v *visit) (reply, error) {
	body, problem := readBody(v)
	if problem != nil {
		return reply{}, problem
	}
	jws, problem := acme.ParseJWS(body)
	if problem != nil {
		f.nonces.redeem(nonceOf(body)) // it has been used, if in vain
		return reply{}, problem
	}
	if jws.Header.Nonce == "" {
		return reply{}, acme.Problemf(acme.TypeBadNonce, "the request has no nonce: use the one in the header Replay-Nonce of this response")
	}
	if !f.redeem(v.Context(), jws.Header.Nonce) {
		return reply{}, acme.Problemf(acme.TypeBadNonce, "the nonce is unknown, expired or used: sign again with the one in the header Replay-Nonce of this response")
	}
	signed := request{base: v.base, url: v.address(), ids: v.ids, query: v.URL.Query(), accept: v.Header.Values("Accept"), payload: f.folded(jws.Payload), client: clientOf(v.Request), header: v.w.Header()}
	if jws.Header.URL != signed.url { // RFC 8555 §6.4: string equality
		return reply{}, acme.Problemf(acme.TypeUnauthorized, `"url" in the protected header is %.256q, but the request went to %s`, jws.Header.URL, signed.url).Breaking(acme.RuleURL)
	}
	if jws.Header.Key != nil {
		return f.authenticateKey(v, jws, signed)
	}
	return f.authenticateAccount(v, jws, signed)
}

// authenticateKey handles a request that carries its key (RFC 8555 §6.2: newAccount and revokeCert alone).
func (f *Front) authenticateKey(v *visit, jws *acme.JWS, signed request) (reply, error) {
	key := jws.Header.Key
	if v.resource.byKey == nil {
		return reply{}, acme.Problemf(acme.TypeMalformed, `"jwk" cannot sign this request: name your account in "kid" (RFC 8555 §6.2)`)
	}
	// Before anything is computed with it: the size of a key is up to its sender.
	if problem := f.Policy.CheckAccountKey(key); problem != nil {
		return reply{}, problem
	}
	if problem := jws.Verify(key); problem != nil {
		return reply{}, problem
	}
	return v.resource.byKey(v.Context(), keyRequest{signed, key})
}

// authenticateAccount handles a request that names its account.
func (f *Front) authenticateAccount(v *visit, jws *acme.JWS, signed request) (reply, error) {
	if v.resource.byAccount == nil {
		return reply{}, acme.Problemf(acme.TypeMalformed, `"kid" cannot sign this request: give the new account's key in "jwk" (RFC 8555 §6.2)`)
	}
	unknown := acme.Problemf(acme.TypeAccountDoesNotExist, `"kid" %.256q is not an account of this server: register one`, jws.Header.KeyID)
	id, ok := f.accountID(jws.Header.KeyID)
	if !ok {
		return reply{}, unknown.Breaking(acme.RuleKeyID)
	}
	account, err := f.signer(v.Context(), jws, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return reply{}, unknown
	case err != nil:
		return reply{}, fmt.Errorf("finding the account of a request: %w", err)
	}
	v.account = account.ID
	if problem := f.checkPayload(jws.Payload); problem != nil {
		return reply{}, problem
	}
	if problem := account.Active(); problem != nil { // RFC 8555 §7.3.6
		return reply{}, problem
	}
	return v.resource.byAccount(v.Context(), accountRequest{signed, account, jws.Header.KeyID})
}

// signer finds the account that a request names, if it has signed it. Where the account is at hand and its key
// does not fit, it may have been changed at another front: then it is looked at anew.
func (f *Front) signer(ctx context.Context, jws *acme.JWS, id string) (rules.Account, error) {
	account, fresh, err := f.known.find(ctx, id)
	if err != nil {
		return account, err
	}
	problem := jws.Verify(account.Key)
	if problem != nil && !fresh {
		if account, err = f.known.load(ctx, id); err != nil {
			return account, err
		}
		problem = jws.Verify(account.Key)
	}
	if problem != nil {
		return account, problem
	}
	return account, nil
}

// accountID finds the account in a "kid": its URL under any of the CA's names (RFC 8555 §6.2).
func (f *Front) accountID(kid string) (string, bool) {
	rest, ok := strings.CutPrefix(kid, "https://")
	if !ok {
		return "", false
	}
	authority, path, _ := strings.Cut(rest, "/")
	ids, ok := identifiersIn(f.Paths.Account, path)
	if !ok {
		return "", false
	}
	own, ok := f.ownBase(authority)
	return ids[0], ok && own.account(ids[0]) == kid
}

// address is the URL that a client must have signed for this request to be its own.
func (v *visit) address() string {
	address := v.base.origin + v.URL.EscapedPath()
	if v.URL.RawQuery != "" || v.URL.ForceQuery {
		address += "?" + v.URL.RawQuery
	}
	return address
}

// actor loads the account of r as it is now: it may have ended, or have changed its key, since r was authenticated.
func actor(tx *store.Tx, r accountRequest) (rules.Account, error) {
	account, err := tx.Account(r.account.ID)
	if err != nil {
		return account, fmt.Errorf("loading account %s: %w", r.account.ID, err)
	}
	if problem := account.Active(); problem != nil {
		return account, problem
	}
	if !account.Key.Equal(r.account.Key) {
		return account, acme.Problemf(acme.TypeUnauthorized, "the account's key has been changed: sign with the new one")
	}
	return account, nil
}

// readBody reads the body of a POST, which must be a JWS by its media type (RFC 8555 §6.2).
func readBody(v *visit) ([]byte, *acme.Problem) {
	if !isJOSE(v.Header.Values("Content-Type")) {
		return nil, acme.Problemf(acme.TypeMalformed, "the Content-Type must be %s (RFC 8555 §6.2)", acme.MediaJOSE).
			WithStatus(http.StatusUnsupportedMediaType)
	}
	tooLarge := acme.Problemf(acme.TypeMalformed, "the request is larger than %d octets", maxBody).
		WithStatus(http.StatusRequestEntityTooLarge)
	if v.ContentLength > maxBody {
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(v.w, v.Body, maxBody))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge
	case err != nil:
		return nil, acme.Problemf(acme.TypeMalformed, "the request ended before its body did")
	}
	return body, nil
}

// isJOSE accepts application/jose+json and, beside it, nothing but a charset that JSON has anyway.
func isJOSE(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	mediaType, parameters, err := mime.ParseMediaType(contentType[0])
	if err != nil || mediaType != acme.MediaJOSE {
		return false
	}
	charset, ok := parameters["charset"]
	return len(parameters) == 0 || ok && len(parameters) == 1 && strings.EqualFold(charset, "utf-8")
}

// nonceOf finds the nonce in a body that is no proper JWS; "" if there is none to be found.
func nonceOf(body []byte) string {
	var outer struct {
		Protected string `json:"protected"`
	}
	var header struct {
		Nonce string `json:"nonce"`
	}
	if json.Unmarshal(body, &outer) != nil {
		return ""
	}
	protected, err := base64.RawURLEncoding.DecodeString(outer.Protected)
	if err != nil || json.Unmarshal(protected, &header) != nil {
		return ""
	}
	return header.Nonce
}

// decode reads the payload of a request. Members that T does not have are ignored
// (RFC 8555 §7.3 for newAccount); members twice, or in another case, are not taken for each other.
func decode[T any](payload []byte) (T, *acme.Problem) {
	var value T
	var members map[string]json.RawMessage
	if !utf8.Valid(payload) || json.Unmarshal(payload, &members) != nil || members == nil {
		return value, acme.Problemf(acme.TypeMalformed, "the payload is not a JSON object in UTF-8 with unique members")
	}
	if json.Unmarshal(payload, &value) == nil {
		return value, nil
	}
	for _, name := range slices.Sorted(maps.Keys(members)) { // which one is it?
		quoted, err := json.Marshal(name)
		if err != nil {
			continue
		}
		var alone T
		if json.Unmarshal(slices.Concat([]byte("{"), quoted, []byte(":"), members[name], []byte("}")), &alone) != nil {
			return value, acme.Problemf(acme.TypeMalformed, "the member %.64q of the payload is not of the right type", name)
		}
	}
	return value, acme.Problemf(acme.TypeMalformed, "the payload has a member of the wrong type")
}

// asGet refuses a payload where a resource can only be read (RFC 8555 §6.3).
func asGet(payload []byte) *acme.Problem {
	if len(payload) > 0 {
		return acme.Problemf(acme.TypeMalformed, "this resource can only be read: send an empty payload (POST-as-GET, RFC 8555 §6.3)")
	}
	return nil
}
