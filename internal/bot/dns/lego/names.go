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
	parts    []string // in credential files, whole: settings that make it up together, with a dot between them
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
	// certbot's own.
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

	// Other people's.
	"acmedns":    {aliases: []string{"acme-dns"}},
	"clouddns":   {keys: []keyName{{variable: "CLOUDDNS_CLIENT_ID", also: []string{"dns_clouddns_clientid"}}}},
	"cpanel":     {keys: []keyName{{variable: "CPANEL_BASE_URL", also: []string{"cpanel_url"}}, {variable: "CPANEL_USERNAME", also: []string{"cpanel_username"}}, {variable: "CPANEL_TOKEN", also: []string{"cpanel_token"}}}},
	"domeneshop": {keys: []keyName{{variable: "DOMENESHOP_API_TOKEN", also: []string{"dns_domeneshop_client_token"}}, {variable: "DOMENESHOP_API_SECRET", also: []string{"dns_domeneshop_client_secret"}}}},
	"dynu":       {keys: []keyName{{variable: "DYNU_API_KEY", also: []string{"dns_dynu_auth_token"}}}},
	"eurodns":    {keys: []keyName{{variable: "EURODNS_APP_ID", also: []string{"dns_eurodns_applicationId"}}, {variable: "EURODNS_API_KEY", also: []string{"dns_eurodns_apiKey"}}}},
	"gandiv5": {aliases: []string{"gandi"}, keys: []keyName{
		{variable: "GANDIV5_PERSONAL_ACCESS_TOKEN", also: []string{"dns_gandi_token"}},
		{variable: "GANDIV5_API_KEY", also: []string{"certbot_plugin_gandi:dns_api_key"}},
	}},
	"godaddy":    {keys: []keyName{{variable: "GODADDY_API_KEY", also: []string{"dns_godaddy_key"}}, {variable: "GODADDY_API_SECRET", also: []string{"dns_godaddy_secret"}}}},
	"hetzner":    {aliases: []string{"hetzner-cloud"}},
	"hurricane":  {aliases: []string{"he"}},
	"infomaniak": {keys: []keyName{{variable: "INFOMANIAK_ACCESS_TOKEN", also: []string{"dns_infomaniak_token"}}}},
	"ionos":      {keys: []keyName{{variable: "IONOS_API_KEY", parts: []string{"dns_ionos_prefix", "dns_ionos_secret"}}}},
	"ispconfig":  {keys: []keyName{{variable: "ISPCONFIG_SERVER_URL", also: []string{"dns_ispconfig_endpoint"}}}},
	"leaseweb":   {keys: []keyName{{variable: "LEASEWEB_API_KEY", also: []string{"dns_leaseweb_api_token"}}}},
	"loopia":     {keys: []keyName{{variable: "LOOPIA_API_USER", also: []string{"dns_loopia_user"}}, {variable: "LOOPIA_API_PASSWORD", also: []string{"dns_loopia_password"}}}},
	"mijnhost":   {aliases: []string{"mijn-host"}},
	"namecheap":  {keys: []keyName{{variable: "NAMECHEAP_API_USER", also: []string{"dns_namecheap_username"}}}},
	"netcup":     {keys: []keyName{{variable: "NETCUP_CUSTOMER_NUMBER", also: []string{"dns_netcup_customer_id"}}}},
	"pdns":       {aliases: []string{"powerdns"}, keys: []keyName{{variable: "PDNS_API_URL", also: []string{"dns_pdns_endpoint"}}}},
	"porkbun":    {keys: []keyName{{variable: "PORKBUN_API_KEY", also: []string{"dns_porkbun_key"}}, {variable: "PORKBUN_SECRET_API_KEY", also: []string{"dns_porkbun_secret"}}}},
	"scaleway":   {keys: []keyName{{variable: "SCW_SECRET_KEY", also: []string{"dns_scaleway_application_token"}}}},
	"transip":    {keys: []keyName{{variable: "TRANSIP_ACCOUNT_NAME", also: []string{"dns_transip_username"}}, {variable: "TRANSIP_PRIVATE_KEY_PATH", also: []string{"dns_transip_key_file"}}}},
	"vultr":      {keys: []keyName{{variable: "VULTR_API_KEY", also: []string{"dns_vultr_key"}}}},
	"websupport": {keys: []keyName{{variable: "WEBSUPPORT_API_KEY", also: []string{"dns_websupport_identifier"}}, {variable: "WEBSUPPORT_SECRET", also: []string{"dns_websupport_secret_key"}}}},
}
