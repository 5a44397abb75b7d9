// Package solve proves control of names: it answers http-01 challenges
// (RFC 8555 §8.3), either with a server of its own or through the directory of
// a web server that runs anyway.
package solve

import "github.com/cairn-ca/cairn/internal/bot/renew"

// checkToken refuses a token that must not become a path or be sent to a browser (RFC 8555 §11.3).
func checkToken(c renew.Challenge) error { return renew.CheckToken(c.Identifier, c.Token) }
