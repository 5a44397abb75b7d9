// Package solve proves control of names: it answers http-01 challenges
// (RFC 8555 §8.3), either with a server of its own or through the directory of
// a web server that runs anyway.
package solve

import (
	"fmt"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// checkToken refuses a token that must not become a path or be sent to a browser (RFC 8555 §11.3).
func checkToken(c renew.Challenge) error {
	if !acme.ValidToken(c.Token) {
		return fmt.Errorf("the CA's token for %s is not base64url: %.40q", c.Identifier, c.Token)
	}
	return nil
}
