package datadir

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// AddCross stores a certificate that another root gave to an issuer, beside the issuer's own.
func (d *Dir) AddCross(issuer, root int, certificate []byte) error {
	return d.write(crossName(issuer, root), certificate, 0o644)
}

// Crosses returns the certificates that other roots gave to an issuer, by the number of the root, rising. They have no key.
func (d *Dir) Crosses(issuer int) (list []Pair, err error) {
	entries, err := os.ReadDir(d.join(fmt.Sprintf("issuers/%d", issuer)))
	if err != nil {
		return nil, fmt.Errorf("reading the data directory: %w", err)
	}
	for _, entry := range entries {
		number, ok := strings.CutPrefix(strings.TrimSuffix(entry.Name(), ".pem"), "cross-")
		root, err := strconv.Atoi(number)
		if !ok || err != nil || crossName(issuer, root) != fmt.Sprintf("issuers/%d/%s", issuer, entry.Name()) {
			continue
		}
		certificate, err := d.read(crossName(issuer, root))
		if err != nil {
			return nil, err
		}
		list = append(list, Pair{Number: root, Certificate: certificate})
	}
	slices.SortFunc(list, func(a, b Pair) int { return a.Number - b.Number })
	return list, nil
}

func crossName(issuer, root int) string { return fmt.Sprintf("issuers/%d/cross-%d.pem", issuer, root) }
