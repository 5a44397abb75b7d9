package front

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"net/http"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// certificate hands out the certificate of an order, for as long as its record is
// kept and whatever became of it since (RFC 8555 §7.4.2).
func (f *Front) certificate(ctx context.Context, r accountRequest) (reply, error) {
	if problem := asGet(r.payload); problem != nil {
		return reply{}, problem
	}
	var found rules.Certificate
	err := f.DB.View(ctx, func(tx *store.Tx) error {
		order, _, err := ownOrder(tx, r)
		if err != nil {
			return err
		}
		if order.Serial == "" {
			return notFound("there is no certificate for this order: see %s", r.base.order(order.ID))
		}
		found, err = tx.Certificate(order.Serial)
		return err
	})
	if err != nil {
		return reply{}, fmt.Errorf("handing out the certificate of order %s: %w", r.ids[0], err)
	}
	chain, err := encodeChain(found.DER, f.Chain(found.Issuer))
	if err != nil {
		return reply{}, fmt.Errorf("encoding certificate %s: %w", found.Serial, err)
	}
	return reply{status: http.StatusOK, mediaType: acme.MediaChain, raw: chain}, nil
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
