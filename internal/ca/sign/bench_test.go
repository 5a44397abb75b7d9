package sign_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca/sign"
)

// BenchmarkCertificate measures a whole issuance with a journal that costs nothing.
func BenchmarkCertificate(b *testing.B) {
	h := newHierarchy(b, "internal")
	s := h.signer(b, newMemory())
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := s.Certificate(context.Background(), h.request(fmt.Sprint(i), "a.internal", "b.internal")); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLint measures an issuance up to the reservation, which fails: TBS, throwaway signature, lints.
func BenchmarkLint(b *testing.B) {
	h := newHierarchy(b, "internal")
	s := h.signer(b, &faulty{newMemory(), "reserve", "lost"})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Certificate(context.Background(), h.request("order", "a.internal", "b.internal")); err == nil {
			b.Fatal("signed without a reservation")
		}
	}
}

// BenchmarkCRL measures a CRL of a thousand entries.
func BenchmarkCRL(b *testing.B) {
	h := newHierarchy(b, "internal")
	s := h.signer(b, newMemory())
	r := crlRequest("intermediate", 1)
	for i := range 1000 {
		r.Entries = append(r.Entries, sign.Revocation{Serial: fmt.Sprintf("47%036x", i), At: r.ThisUpdate})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.CRL(context.Background(), r); err != nil {
			b.Fatal(err)
		}
	}
}
