package pebble

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// maxManagement bounds a request to the management interface.
const maxManagement = 1 << 20

// manage is the management interface: Pebble's paths, and below /cairn/ our own.
func (s *Server) manage() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/roots/", s.numbered("/roots/", "application/pem-certificate-chain; charset=utf-8", func(c chain) ([]byte, error) {
		return certificatePEM(c.root.certificate.Raw), nil
	}))
	mux.Handle("/intermediates/", s.numbered("/intermediates/", "application/pem-certificate-chain; charset=utf-8", func(c chain) ([]byte, error) {
		return certificatePEM(c.intermediates[0].certificate.Raw), nil
	}))
	mux.Handle("/root-keys/", s.numbered("/root-keys/", "application/x-pem-file; charset=utf-8", func(c chain) ([]byte, error) {
		return keyPEM(c.root.key)
	}))
	mux.Handle("/intermediate-keys/", s.numbered("/intermediate-keys/", "application/x-pem-file; charset=utf-8", func(c chain) ([]byte, error) {
		return keyPEM(c.intermediates[0].key)
	}))
	mux.HandleFunc("/cert-status-by-serial/", s.certStatus)
	mux.HandleFunc("/set-renewal-info/", s.setRenewal)
	mux.Handle("/crls/", s.publish())
	mux.HandleFunc("/cairn/clock", s.clock.serve)
	mux.HandleFunc("/cairn/faults", s.faults.serve)
	return mux
}

// numbered answers with a part of the chain whose number ends the path, and names the same part of the others.
func (s *Server) numbered(path, mediaType string, part func(chain) ([]byte, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, path))
		if err != nil || n < 0 || n >= len(s.chains) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		body, err := part(s.chains[n])
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		for i := range s.chains {
			if i != n {
				w.Header().Add("Link", fmt.Sprintf(`<https://%s%s%d>;rel="alternate"`, r.Host, path, i))
			}
		}
		w.Header().Set("Content-Type", mediaType)
		_, _ = w.Write(body) // a peer that has gone needs no answer
	})
}

// keyPEM is a key in the form that programs expect who knew it from Pebble: RSA keys as PKCS #1.
func keyPEM(key any) ([]byte, error) {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), nil
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(key)
		return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), err
	}
	return nil, fmt.Errorf("a key of type %T cannot be shown", key)
}

// status is what the management interface says about a certificate.
type status struct {
	Certificate string
	Reason      *int   `json:",omitempty"`
	RevokedAt   string `json:",omitempty"`
	Serial      string
	Status      string
}

// certStatus answers GET of /cert-status-by-serial/HEX.
func (s *Server) certStatus(w http.ResponseWriter, r *http.Request) {
	serial, ok := new(big.Int).SetString(strings.TrimPrefix(r.URL.Path, "/cert-status-by-serial/"), 16)
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	found, err := s.find(r.Context(), serial)
	switch {
	case errors.Is(err, store.ErrNotFound):
		w.WriteHeader(http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		answer := status{Status: "Valid", Serial: serial.Text(16), Certificate: string(certificatePEM(found.DER))}
		if !found.Revoked.IsZero() {
			answer.Status, answer.RevokedAt, answer.Reason = "Revoked", found.Revoked.UTC().String(), &found.Reason
		}
		writeJSON(w, answer)
	}
}

// find looks a certificate up by its serial: one that was issued, or one of the CA's own.
func (s *Server) find(ctx context.Context, serial *big.Int) (found rules.Certificate, err error) {
	for _, c := range s.chains {
		for _, a := range append([]authority{c.root}, c.intermediates...) {
			if a.certificate.SerialNumber.Cmp(serial) == 0 {
				return rules.Certificate{DER: a.certificate.Raw}, nil
			}
		}
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		found, err = tx.Certificate(hex.EncodeToString(serial.Bytes()))
		if err == nil && found.State != rules.Issued {
			err = store.ErrNotFound
		}
		return err
	})
	return found, err
}

// renewals are the answers about renewal that somebody set, by serial. It is safe for concurrent use.
type renewals struct {
	mu     sync.RWMutex
	bodies map[string][]byte // guarded by mu
}

func (r *renewals) get(serial string) ([]byte, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	body, ok := r.bodies[serial]
	return body, ok
}

// setRenewal takes the answer that is to be given about a certificate's renewal, which may be any text: a client must cope.
func (s *Server) setRenewal(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		writeProblem(w, acme.Problemf(acme.TypeMalformed, "send this with POST").WithStatus(http.StatusMethodNotAllowed))
		return
	}
	var asked struct{ Certificate, ARIResponse string }
	if err := json.NewDecoder(io.LimitReader(r.Body, maxManagement)).Decode(&asked); err != nil {
		writeProblem(w, acme.Problemf(acme.TypeMalformed, "the request is not JSON: %v", err))
		return
	}
	block, _ := pem.Decode([]byte(asked.Certificate))
	if block == nil || block.Type != "CERTIFICATE" {
		writeProblem(w, acme.Problemf(acme.TypeMalformed, "Certificate is not a certificate in PEM"))
		return
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		writeProblem(w, acme.Problemf(acme.TypeMalformed, "Certificate cannot be read: %v", err))
		return
	}
	found, err := s.find(r.Context(), certificate.SerialNumber)
	if err != nil {
		writeProblem(w, acme.Problemf(acme.TypeMalformed, "no certificate has the serial number %x", certificate.SerialNumber).WithStatus(http.StatusNotFound))
		return
	}
	s.renewals.mu.Lock()
	defer s.renewals.mu.Unlock()
	if asked.ARIResponse == "" {
		delete(s.renewals.bodies, found.Serial)
		return
	}
	s.renewals.bodies[found.Serial] = []byte(asked.ARIResponse)
}

// publish serves the issuer's CRL and certificate.
func (s *Server) publish() http.Handler {
	mux := http.NewServeMux()
	serve := func(mediaType string, der func() []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", mediaType)
			_, _ = w.Write(der()) // a peer that has gone needs no answer
		}
	}
	mux.HandleFunc("GET /crls/0", func(w http.ResponseWriter, r *http.Request) {
		if err := s.lists.Update(r.Context()); err != nil { // a test does not wait for the next round
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		serve("application/pkix-crl", func() []byte { return s.lists.DER(issuerID) })(w, r)
	})
	mux.HandleFunc("GET /issuers/0", serve(acme.MediaCertificate, func() []byte { return s.chains[0].intermediates[0].certificate.Raw }))
	return mux
}

func writeJSON(w http.ResponseWriter, value any) {
	body, err := json.MarshalIndent(value, "", "   ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(body) // a peer that has gone needs no answer
}

func writeProblem(w http.ResponseWriter, p *acme.Problem) {
	body, err := json.MarshalIndent(p, "", "   ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // a peer that has gone needs no answer
}
