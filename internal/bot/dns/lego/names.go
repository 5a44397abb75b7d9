package lego

// names is what others call one of lego's providers, and its settings.
type names struct {
	aliases []string // certbot plugins, without "dns-"
	keys    []keyName
	wait    int // seconds that certbot's plugin waits, where it is longer than lego's
}

// keyName is another name for a setting.
type keyName struct {
	variable string
	short    string   // instead of the one made from the variable; "" keeps that
	also     []string // in credential files, whole
}

func (n keyName) name(otherwise string) string {
	if n.short != "" {
		return n.short
	}
	return otherwise
}

// called has the names that users of certbot's plugins know: those that come with certbot, whose files are
// read as they are, and those that other people wrote.
var called = map[string]names{
	"cloudflare": {keys: []keyName{
		{variable: "CF_API_EMAIL", short: "email"}, {variable: "CF_API_KEY", short: "api_key"}, {variable: "CF_DNS_API_TOKEN", short: "api_token"},
	}},
	"digitalocean": {keys: []keyName{{variable: "DO_AUTH_TOKEN", short: "token"}}},
	"dnsmadeeasy":  {keys: []keyName{{variable: "DNSMADEEASY_API_SECRET", short: "secret_key"}}},
	"gehirn": {keys: []keyName{
		{variable: "GEHIRN_TOKEN_ID", short: "api_token"}, {variable: "GEHIRN_TOKEN_SECRET", short: "api_secret"},
	}},
	"luadns": {keys: []keyName{{variable: "LUADNS_API_USERNAME", short: "email"}, {variable: "LUADNS_API_TOKEN", short: "token"}}},
	"ns1":    {aliases: []string{"nsone"}},
	"ovh":    {wait: 120},
}
