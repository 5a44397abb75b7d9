package rules

import (
	"crypto/rsa"
	"math/big"
)

// Weakness judges the RSA key (n, e).
func Weakness(n *big.Int, e int) string { return weakness(&rsa.PublicKey{N: n, E: e}, leastRSA) }
