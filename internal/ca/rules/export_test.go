package rules

import (
	"crypto/rsa"
	"math/big"

	"github.com/cairn-ca/cairn/acme"
)

// Weakness judges the RSA key (n, e).
func Weakness(n *big.Int, e int) string { return weakness(&rsa.PublicKey{N: n, E: e}, leastRSA) }

// ParseOnionCAA reads the CAA records that an onion service has signed; why is "" if they can be read.
func ParseOnionCAA(text string) (records []acme.CAARecord, why string) { return parseOnionCAA(text) }
