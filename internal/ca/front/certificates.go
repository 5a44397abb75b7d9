package front

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// Chain is what can be served above a certificate, up to a root that is left out.
type Chain struct {
	ID           string   // tells it from the other chains of the same certificate; fit for a URL
	Certificates [][]byte // DER; the issuer's first, each certified by the next
}

// certificate hands out the certificate of an order with its chain, for as long as its
// record is kept and whatever became of it since (RFC 8555 §7.4.2).
func (f *Front) certificate(ctx context.Context, r accountRequest) (reply, error) {
	found, chains, err := f.certified(ctx, r)
	if err != nil {
		return reply{}, err
	}
	return f.handOut(r, found, chains, 0)
}

// alternate is certificate with another chain than the default one.
func (f *Front) alternate(ctx context.Context, r accountRequest) (reply, error) {
	found, chains, err := f.certified(ctx, r)
	if err != nil {
		return reply{}, err
	}
	i := slices.IndexFunc(chains, func(c Chain) bool { return c.ID == r.ids[1] })
	if i < 0 {
		return reply{}, notFound("there is no such chain: see %s", r.base.certificate(r.ids[0]))
	}
	return f.handOut(r, found, chains, i)
}

// certificateIssuer hands out the certificate next above that of an order: what a format
// without a chain points to (RFC 8555 §7.4.2).
func (f *Front) certificateIssuer(ctx context.Context, r accountRequest) (reply, error) {
	_, chains, err := f.certified(ctx, r)
	if err != nil {
		return reply{}, err
	}
	i := slices.IndexFunc(chains, func(c Chain) bool { return c.ID == r.ids[1] })
	if i < 0 || len(chains[i].Certificates) == 0 {
		return reply{}, notFound("there is no such chain: see %s", r.base.certificate(r.ids[0]))
	}
	return reply{status: http.StatusOK, mediaType: acme.MediaCertificate, raw: chains[i].Certificates[0]}, nil
}

// certified finds the certificate of the order that r is about, and its chains.
func (f *Front) certified(ctx context.Context, r accountRequest) (found rules.Certificate, chains []Chain, err error) {
	if problem := asGet(r.payload); problem != nil {
		return found, nil, problem
	}
	if found, err = f.findCertificate(ctx, r); err != nil {
		return found, nil, fmt.Errorf("handing out the certificate of order %s: %w", r.ids[0], err)
	}
	if chains = f.Chains(found); len(chains) == 0 {
		return found, nil, fmt.Errorf("certificate %s has no chain: its issuer %q is unknown", found.Serial, found.Issuer)
	}
	return found, chains, nil
}

// findCertificate finds the certificate that r is about, at hand or in the store. Of one at hand, what it says
// of itself is there, which is all that never changes.
func (f *Front) findCertificate(ctx context.Context, r accountRequest) (found rules.Certificate, err error) {
	if ended, ok := f.ended.find(r.ids[0]); ok && ended.Certificate.DER != nil && ended.Order.Account == r.account.ID && !f.Manners.BySerial {
		return ended.Certificate, nil
	}
	err = f.DB.View(ctx, func(tx *store.Tx) error {
		ids, err := f.certifiedOrder(tx, r.ids)
		if err != nil {
			return err
		}
		found, err = f.ownCertificate(tx, r, ids[0])
		return err
	})
	return found, err
}

// ownCertificate loads the certificate of an order, if that is the account's own. It is there for as long as
// its own record is kept, which is longer than that of the order.
func (f *Front) ownCertificate(tx *store.Tx, r accountRequest, id string) (rules.Certificate, error) {
	order, err := f.orderAtHand(tx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return certificateAlone(tx, r, id)
	case err != nil:
		return rules.Certificate{}, err
	case order.Account != r.account.ID:
		return rules.Certificate{}, notYours("order")
	case order.Serial == "":
		return rules.Certificate{}, notFound("there is no certificate for this order: see %s", r.base.order(order.ID))
	}
	found, err := tx.Certificate(order.Serial)
	if errors.Is(err, store.ErrNotFound) {
		err = notFound("the certificate expired long ago and is not kept any more")
	}
	return found, err
}

// orderAtHand loads an order, unless it has ended here lately.
func (f *Front) orderAtHand(tx *store.Tx, id string) (rules.Order, error) {
	if ended, ok := f.ended.find(id); ok {
		return ended.Order, nil
	}
	return tx.Order(id)
}

// certificateAlone loads the certificate of an order that is not kept any more.
func certificateAlone(tx *store.Tx, r accountRequest, id string) (rules.Certificate, error) {
	found, err := tx.CertificateOf(id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return rules.Certificate{}, notFound("there is no such order")
	case err != nil:
		return rules.Certificate{}, err
	case found.Account != r.account.ID:
		return rules.Certificate{}, notYours("order")
	case found.State != rules.Issued:
		return rules.Certificate{}, notFound("there is no certificate for this order")
	}
	return found, nil
}

// certifiedOrder gives ids of a request about a certificate the ID of its order.
func (f *Front) certifiedOrder(tx *store.Tx, ids []string) ([]string, error) {
	if !f.Manners.BySerial {
		return ids, nil
	}
	found, err := tx.Certificate(ids[0])
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("there is no such certificate")
	}
	return append([]string{found.Order}, ids[1:]...), err
}

// handOut answers with a certificate and one of its chains, in the format that the client likes
// best. Each chain names all the others.
func (f *Front) handOut(r accountRequest, found rules.Certificate, chains []Chain, chosen int) (reply, error) {
	answer := reply{status: http.StatusOK, mediaType: preferred(r.accept, acme.MediaChain, acme.MediaCertificate, acme.MediaPKCS7), vary: "Accept"}
	for i, chain := range chains {
		url := r.base.certificate(r.ids[0])
		if i > 0 {
			url = r.base.alternate(r.ids[0], chain.ID)
		}
		if i != chosen {
			answer.links = append(answer.links, link(url, "alternate"))
		}
	}
	var err error
	switch answer.mediaType {
	case acme.MediaCertificate:
		answer.raw = found.DER
		for _, chain := range slices.Concat(chains[chosen:chosen+1], chains[:chosen], chains[chosen+1:]) {
			answer.links = append(answer.links, link(r.base.alternate(r.ids[0], chain.ID)+"/issuer", "up"))
		}
	case acme.MediaPKCS7:
		answer.mediaType += "; smime-type=certs-only" // RFC 8551 §3.2.2
		answer.raw, err = certsOnly(append([][]byte{found.DER}, chains[chosen].Certificates...))
	default:
		answer.raw, err = encodeChain(found.DER, chains[chosen].Certificates)
	}
	if err != nil {
		return reply{}, fmt.Errorf("encoding certificate %s: %w", found.Serial, err)
	}
	return answer, nil
}

// encodeChain writes the leaf and what certifies it as RFC 8555 §9.1 asks for: strict
// RFC 7468, with nothing in between.
func encodeChain(leaf []byte, above [][]byte) ([]byte, error) {
	var chain bytes.Buffer
	for _, der := range append([][]byte{leaf}, above...) {
		if len(der) == 0 {
			return nil, fmt.Errorf("a certificate of the chain is empty")
		}
		if err := pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return nil, err
		}
	}
	return chain.Bytes(), nil
}
