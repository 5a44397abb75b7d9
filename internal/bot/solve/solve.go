// Package solve proves control of names. A Standalone answers http-01 (RFC 8555 §8.3) and tls-alpn-01 (RFC 8737)
// challenges with servers of its own, a Webroot http-01 through the directory of a web server that runs anyway,
// a Manual leaves it to a person or an operator's script. A Mixed picks one of several for each name, and a
// Paused waits for a person before the CA looks.
//
// What comes from the CA is hostile: a token is checked before it becomes a path or is sent to anybody, and nothing
// of it reaches a shell other than as the value of a variable.
package solve

import "github.com/cairn-ca/cairn/internal/bot/renew"

// checkToken refuses a token that must not become a path or be sent to a browser (RFC 8555 §11.3).
func checkToken(c renew.Challenge) error { return renew.CheckToken(c.Identifier, c.Token) }
