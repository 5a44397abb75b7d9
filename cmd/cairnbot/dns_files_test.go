package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/registry"
)

// The credential files of certbot's plugins, and of those that others wrote, are enough to make the provider; without
// any of their lines, it says what is missing. (That of namecheap asks the network who we are, and is left out.)
func TestCredentialFiles(t *testing.T) {
	for plugin, lines := range map[string]string{
		"cloudflare":    "dns_cloudflare_api_token = 0123456789abcdef0123456789abcdef01234567",
		"cloudflare ":   "dns_cloudflare_email = a@example.org; dns_cloudflare_api_key = 0123456789abcdef",
		"digitalocean":  "dns_digitalocean_token = 0123",
		"dnsimple":      "dns_dnsimple_token = 0123",
		"dnsmadeeasy":   "dns_dnsmadeeasy_api_key = 1c1a3c91; dns_dnsmadeeasy_secret_key = c9b5625f",
		"gehirn":        "dns_gehirn_api_token = 0000; dns_gehirn_api_secret = MDEyMzQ1",
		"linode":        "dns_linode_key = 0123",
		"luadns":        "dns_luadns_email = a@example.org; dns_luadns_token = 0123",
		"nsone":         "dns_nsone_api_key = MDAwMDAw",
		"ovh":           "dns_ovh_endpoint = ovh-eu; dns_ovh_application_key = MDAw; dns_ovh_application_secret = MDAx; dns_ovh_consumer_key = MDAy",
		"rfc2136":       "dns_rfc2136_server = 192.0.2.1; dns_rfc2136_port = 53; dns_rfc2136_name = keyname.; dns_rfc2136_secret = 4q4wM/2I180UXoMyN4INVhJNi8V9BCV+jMw2mXgZw/CSuxUT8C7NKKFs AmKd7ak51vWKgSl12ib86oQRPkpDjg==; dns_rfc2136_algorithm = HMAC-SHA512",
		"sakuracloud":   "dns_sakuracloud_api_token = 0000; dns_sakuracloud_api_secret = MDAw",
		"bunny":         "dns_bunny_api_key = 0",
		"clouddns":      "dns_clouddns_clientid = a; dns_clouddns_email = b@example.org; dns_clouddns_password = c",
		"cloudns":       "dns_cloudns_auth_id = 1; dns_cloudns_auth_password = c",
		"desec":         "dns_desec_token = 0",
		"domeneshop":    "dns_domeneshop_client_token = a; dns_domeneshop_client_secret = b",
		"dreamhost":     "dns_dreamhost_api_key = 0",
		"duckdns":       "dns_duckdns_token = 0",
		"dynu":          "dns_dynu_auth_token = 0",
		"eurodns":       "dns_eurodns_applicationId = a; dns_eurodns_apiKey = b",
		"gandi":         "dns_gandi_token = 0",
		"gandi ":        "certbot_plugin_gandi:dns_api_key = 0",
		"godaddy":       "dns_godaddy_key = a; dns_godaddy_secret = b",
		"hetzner":       "dns_hetzner_api_token = 0",
		"hetzner-cloud": "dns_hetzner_cloud_api_token = 0",
		"infomaniak":    "dns_infomaniak_token = 0",
		"inwx":          "dns_inwx_url = https://api.domrobot.com/xmlrpc/; dns_inwx_username = a; dns_inwx_password = b; dns_inwx_shared_secret = optional",
		"ionos":         "dns_ionos_prefix = a; dns_ionos_secret = b; dns_ionos_endpoint = https://api.hosting.ionos.com",
		"ispconfig":     "dns_ispconfig_username = a; dns_ispconfig_password = b; dns_ispconfig_endpoint = https://ispconfig.example:8080/remote/json.php",
		"leaseweb":      "dns_leaseweb_api_token = 0",
		"loopia":        "dns_loopia_user = a; dns_loopia_password = b",
		"mijn-host":     "dns_mijn_host_api_key = 0",
		"netcup":        "dns_netcup_customer_id = 1; dns_netcup_api_key = a; dns_netcup_api_password = b",
		"njalla":        "dns_njalla_token = 0",
		"pdns":          "dns_pdns_endpoint = http://127.0.0.1:1; dns_pdns_api_key = a",
		"porkbun":       "dns_porkbun_key = a; dns_porkbun_secret = b",
		"scaleway":      "dns_scaleway_application_token = 01234567-89ab-4def-8123-456789abcdef",
		"vultr":         "dns_vultr_key = 0",
		"websupport":    "dns_websupport_identifier = 01234567-89ab-4def-8123-456789abcdef; dns_websupport_secret_key = b",
	} {
		plugin = strings.TrimSpace(plugin)
		list := strings.Split(lines, "; ")
		if err := makeProvider(t, plugin, list); err != nil {
			t.Errorf("dns-%s: %v", plugin, err)
		}
		if err := makeProvider(t, plugin, []string{"# nothing"}); err == nil {
			t.Errorf("dns-%s is made of nothing", plugin)
		}
	}
}

// makeProvider makes the provider of one of certbot's plugins from the lines of a file.
func makeProvider(t *testing.T, plugin string, lines []string) error {
	t.Helper()
	environment := &dns.Environment{Lookup: os.LookupEnv, Set: os.Setenv, Unset: os.Unsetenv}
	resolver, err := dns.NewResolver(dns.ResolverConfig{Servers: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keys.ini")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	router, err := dns.NewRouter(dns.RouterConfig{
		Find: registry.Find, Provider: "dns-" + plugin, File: path,
		Settings: dns.Settings{Environment: environment, Resolver: resolver},
	})
	if err == nil {
		_, err = router.Route("example.org")
	}
	return err
}
