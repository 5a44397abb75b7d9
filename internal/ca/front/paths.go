package front

import (
	"reflect"
	"strings"
)

// Paths says where each resource is, below the CA's https://host[:port]/. A "*" stands for an identifier.
// RFC 8555 §7.1 leaves all of them to the server; clients find them through the directory.
type Paths struct {
	Directory, NewNonce, NewAccount, NewOrder, NewAuthz, RevokeCert, KeyChange string

	Account, Orders string // *: the account's ID
	Limits          string // *: the account's ID; what is left of its rate limits
	Order, Finalize string // *: the order's ID
	Authz           string // *: the authorization's ID
	Challenge       string // */*: the authorization's ID and the challenge's type
	Certificate     string // *: the ID of its order
	Alternate       string // */*: the ID of its order and that of the chain
	RenewalInfo     string // without an identifier, as the directory has it (RFC 9773 §3)
}

// standardPaths are those of every CA that is not told otherwise.
func standardPaths() Paths {
	return Paths{
		Directory: "directory", NewNonce: "new-nonce", NewAccount: "new-account", NewOrder: "new-order",
		NewAuthz: "new-authz", RevokeCert: "revoke-cert", KeyChange: "key-change",
		Account: "account/*", Orders: "account/*/orders", Limits: "account/*/limits",
		Order: "order/*", Finalize: "order/*/finalize",
		Authz: "authz/*", Challenge: "challenge/*/*", Certificate: "certificate/*", Alternate: "certificate/*/*", RenewalInfo: "renewal-info",
	}
}

// orStandard fills in the paths that p leaves out.
func (p Paths) orStandard() Paths {
	own, standard := reflect.ValueOf(&p).Elem(), reflect.ValueOf(standardPaths())
	for i := range own.NumField() {
		if own.Field(i).String() == "" {
			own.Field(i).Set(standard.Field(i))
		}
	}
	return p
}

// identifiersIn returns what stands for each "*" of a pattern in a path, both without a slash in front.
func identifiersIn(pattern, path string) ([]string, bool) {
	return match(strings.Split(pattern, "/"), strings.Split(path, "/"))
}
