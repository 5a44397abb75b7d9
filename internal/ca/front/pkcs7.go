package front

import (
	"bytes"
	encoding "encoding/asn1"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// certsOnly writes certificates as PKCS #7 SignedData that nobody signed (RFC 5652 §5.1, RFC 8551 §3.8), in DER.
// It is a set: who reads it finds the leaf by what it certifies.
func certsOnly(certificates [][]byte) ([]byte, error) {
	sorted := slices.SortedFunc(slices.Values(certificates), bytes.Compare) // X.690 §11.6
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(encoding.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}) // id-signedData
		b.AddASN1(asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(1)                                 // version, with certificates of X.509 alone
				b.AddASN1(asn1.SET, func(*cryptobyte.Builder) {}) // digestAlgorithms
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(encoding.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}) // id-data
				})
				b.AddASN1(asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
					for _, der := range sorted {
						b.AddBytes(der)
					}
				})
				b.AddASN1(asn1.SET, func(*cryptobyte.Builder) {}) // signerInfos
			})
		})
	})
	return b.Bytes()
}
