package rehearsal

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/cairn-ca/cairn/acme"
)

// maxBody bounds a request: a signing request for a hundred names with a large key.
const maxBody = 128 << 10

// maxNonces bounds how many nonces are good at a time.
const maxNonces = 10_000

// signed is a request whose signature has been checked.
type signed struct {
	*http.Request
	payload []byte
	key     *acme.Key
	account *account // nil where the key itself is in the request
}

// reply is what is answered, unless there is a problem.
type reply struct {
	status   int
	location string
	body     any // JSON; nil for none
	pem      []byte
	pause    string // Retry-After
}

// door are the resources (RFC 8555 §7.1).
func (s *Server) door() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /directory", func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, s.directory()) })
	nonce := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Replay-Nonce", s.nonce())
		w.Header().Set("Cache-Control", "no-store") // RFC 8555 §7.2
		w.WriteHeader(http.StatusNoContent)
	}
	mux.HandleFunc("GET /nonce", nonce)
	mux.HandleFunc("HEAD /nonce", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Replay-Nonce", s.nonce())
		w.Header().Set("Cache-Control", "no-store")
	})
	for path, handle := range map[string]func(signed) (reply, *acme.Problem){
		"POST /account": s.newAccount, "POST /account/{id}": s.showAccount, "POST /order": s.newOrder, "POST /order/{id}": s.showOrder,
		"POST /finalize/{id}": s.finalize, "POST /authz/{id}": s.showAuthz, "POST /challenge/{id}/{n}": s.answer,
		"POST /certificate/{id}": s.certificate, "POST /revoke": s.revoke,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { s.handle(w, r, handle) })
	}
	return mux
}

func (s *Server) directory() acme.Directory {
	meta := &acme.Meta{CAAIdentities: []string{"rehearsal.invalid"}, Profiles: make(map[string]string)}
	for _, name := range s.config.Profiles {
		meta.Profiles[name] = "as " + name + ", for a rehearsal"
	}
	return acme.Directory{NewNonce: s.base + "/nonce", NewAccount: s.base + "/account", NewOrder: s.base + "/order",
		RevokeCert: s.base + "/revoke", Meta: meta}
}

// nonce makes a nonce that is good once (RFC 8555 §6.5).
func (s *Server) nonce() string {
	nonce := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.nonces) >= maxNonces {
		clear(s.nonces) // who is refused tries again with a new one
	}
	s.nonces[nonce] = true
	return nonce
}

func (s *Server) redeem(nonce string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	good := s.nonces[nonce]
	delete(s.nonces, nonce)
	return good
}

// handle authenticates a request, has it handled, and answers.
func (s *Server) handle(w http.ResponseWriter, r *http.Request, do func(signed) (reply, *acme.Problem)) {
	w.Header().Set("Replay-Nonce", s.nonce())
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Add("Link", `<`+s.Directory()+`>;rel="index"`) // RFC 8555 §7.1
	request, problem := s.authenticate(w, r)
	var answer reply
	if problem == nil {
		answer, problem = do(request)
	}
	if problem != nil {
		s.config.Log.Debug("the CA of the rehearsal refuses", "path", r.URL.Path, "problem", problem)
		w.Header().Set("Content-Type", "application/problem+json")
		body, err := json.Marshal(problem)
		if err != nil {
			http.Error(w, "", http.StatusInternalServerError)
			return
		}
		w.WriteHeader(problem.Status)
		_, _ = w.Write(body) // who is gone needs no answer
		return
	}
	if answer.location != "" {
		w.Header().Set("Location", answer.location)
	}
	if answer.pause != "" {
		w.Header().Set("Retry-After", answer.pause)
	}
	if answer.pem != nil {
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		_, _ = w.Write(answer.pem) // who is gone needs no answer
		return
	}
	write(w, answer.status, answer.body)
}

func write(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	text, err := json.Marshal(body)
	if err != nil {
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text) // who is gone needs no answer
}

// authenticate checks who signed a request, and that it was signed for this address and this moment (RFC 8555 §6).
func (s *Server) authenticate(w http.ResponseWriter, r *http.Request) (signed, *acme.Problem) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return signed{}, acme.Problemf(acme.TypeMalformed, "the request has more than %d octets", maxBody).WithStatus(http.StatusRequestEntityTooLarge)
	} else if err != nil {
		return signed{}, acme.Problemf(acme.TypeMalformed, "the request broke off")
	}
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); kind != "application/jose+json" {
		return signed{}, acme.Problemf(acme.TypeMalformed, "the media type is %.64q: it must be application/jose+json (RFC 8555 §6.2)", kind).
			WithStatus(http.StatusUnsupportedMediaType)
	}
	jws, problem := acme.ParseJWS(body)
	if problem != nil {
		return signed{}, problem
	}
	if !s.redeem(jws.Header.Nonce) {
		return signed{}, acme.Problemf(acme.TypeBadNonce, "the nonce is unknown or used")
	}
	if want := s.base + r.URL.Path; jws.Header.URL != want {
		return signed{}, acme.Problemf(acme.TypeUnauthorized, "the request is signed for %.256q, and went to %s (RFC 8555 §6.4)", jws.Header.URL, want)
	}
	request := signed{Request: r, payload: jws.Payload, key: jws.Header.Key}
	if request.key == nil {
		s.mu.Lock()
		request.account = s.accounts[jws.Header.KeyID]
		s.mu.Unlock()
		if request.account == nil {
			return signed{}, acme.Problemf(acme.TypeAccountDoesNotExist, "there is no account %.256q", jws.Header.KeyID)
		}
		request.key = request.account.key
	} else if r.URL.Path != "/account" && r.URL.Path != "/revoke" {
		return signed{}, acme.Problemf(acme.TypeMalformed, `"jwk" is for new accounts and revocations: name the account with "kid" (RFC 8555 §6.2)`)
	}
	return request, jws.Verify(request.key)
}

// read decodes a payload. Members that a client invents are ignored (RFC 8555 §6).
func read(payload []byte, into any) *acme.Problem {
	if err := json.Unmarshal(payload, into); err != nil {
		return acme.Problemf(acme.TypeMalformed, "the payload is not the JSON object that belongs here")
	}
	return nil
}
