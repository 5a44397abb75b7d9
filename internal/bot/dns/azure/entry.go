package azure

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns"
)

// Entry is the row of the registry.
func Entry() dns.Entry {
	keys := []dns.Key{
		{Name: "tenant_id", Variable: "AZURE_TENANT_ID", Help: "tenant of the application"},
		{Name: "sp_client_id", Variable: "AZURE_CLIENT_ID", Help: "ID of the application; without one, this machine's own identity asks"},
		{Name: "sp_client_secret", Variable: "AZURE_CLIENT_SECRET", Help: "its secret"},
		{Name: "sp_certificate_path", File: true, Variable: "AZURE_CLIENT_CERTIFICATE_PATH", Help: "a file with its certificate and key, instead of a secret"},
		{Name: "use_workload_identity_credentials", Help: "true asks with the token of AZURE_FEDERATED_TOKEN_FILE"},
		{Name: "msi_system_assigned", Help: "true asks as the machine"},
		{Name: "msi_client_id", Help: "asks as one of several identities that the machine has"},
		{Name: "use_cli_credentials", Help: "true asks as who has signed in with `az login`"},
		{Name: "environment", Variable: "AZURE_ENVIRONMENT", Help: "AzurePublicCloud, AzureUSGovernmentCloud or AzureChinaCloud"},
		{Name: "subscription_id", Variable: "AZURE_SUBSCRIPTION_ID", Help: "subscription that has the zones"},
		{Name: "resource_group", Variable: "AZURE_RESOURCE_GROUP", Help: "resource group that has the zones"},
		{Name: "zone_name", Variable: "AZURE_ZONE_NAME", Help: "name of the zone; found by domain when it is left out"},
		{Name: "private_zone", Variable: "AZURE_PRIVATE_ZONE", Help: "true takes private zones, and no others"},
		{Name: "arm_endpoint", Help: "address of the service, when it is not Microsoft's"},
		{Name: "ad_endpoint", Variable: "AZURE_AUTHORITY_HOST", Help: "address that gives tokens, when it is not Microsoft's"},
		{Name: "zone", Many: true, Help: "zone1, zone2 and so on say where a zone is: example.com:/subscriptions/ID/resourceGroups/NAME"},
	}
	return dns.Entry{
		Name: "azure", Title: "Azure DNS", Aliases: []string{"azuredns"}, Keys: keys,
		Optional: true, Propagation: 2 * time.Minute, TTL: time.Minute, AnyValue: true,
		Docs: "https://learn.microsoft.com/azure/dns/dns-protect-zones-recordsets",
		New:  fromSettings,
	}
}

func fromSettings(s dns.Settings) (dns.Provider, error) {
	lookup := s.Getter("AZURE_FEDERATED_TOKEN_FILE", "IDENTITY_ENDPOINT", "IDENTITY_HEADER")
	look := func(variable string) string {
		value, _ := lookup(variable)
		return value
	}
	get := func(key, variable string) string { return cmp.Or(s.Values[key], look(variable)) }
	var wrong error
	flag := func(key, variable string) bool {
		switch text := get(key, variable); strings.ToLower(text) { // what Python's configuration files take
		case "", "false", "no", "off", "0":
			return false
		case "true", "yes", "on", "1":
			return true
		default:
			wrong = fmt.Errorf("azure: %s is %.40q: write true or false", key, text)
			return false
		}
	}
	config := Config{
		Identity: Identity{
			Tenant: get("tenant_id", "AZURE_TENANT_ID"), Client: get("sp_client_id", "AZURE_CLIENT_ID"), Secret: get("sp_client_secret", "AZURE_CLIENT_SECRET"),
			Certificate: get("sp_certificate_path", "AZURE_CLIENT_CERTIFICATE_PATH"),
			CLI:         flag("use_cli_credentials", ""), Managed: flag("msi_system_assigned", ""), ManagedClient: s.Values["msi_client_id"],
			Endpoint: look("IDENTITY_ENDPOINT"), Header: look("IDENTITY_HEADER"),
		},
		Environment:  get("environment", "AZURE_ENVIRONMENT"),
		Subscription: get("subscription_id", "AZURE_SUBSCRIPTION_ID"), ResourceGroup: get("resource_group", "AZURE_RESOURCE_GROUP"),
		Zone: get("zone_name", "AZURE_ZONE_NAME"), Private: flag("private_zone", "AZURE_PRIVATE_ZONE"),
		Management: s.Values["arm_endpoint"], Login: strings.TrimSuffix(get("ad_endpoint", "AZURE_AUTHORITY_HOST"), "/"), HTTP: s.HTTP, Environ: s.Environ,
	}
	workload := flag("use_workload_identity_credentials", "")
	if workload || s.Lookup != nil {
		config.Identity.TokenFile = look("AZURE_FEDERATED_TOKEN_FILE")
	}
	switch {
	case workload && config.Identity.TokenFile == "":
		wrong = errors.New("azure: use_workload_identity_credentials is true, but AZURE_FEDERATED_TOKEN_FILE is not set in the environment")
	case workload:
		config.Identity.Secret, config.Identity.Certificate = "", ""
	}
	for _, key := range slices.Sorted(maps.Keys(s.Values)) {
		if number, ok := strings.CutPrefix(key, "zone"); ok && !strings.HasPrefix(number, "_") && s.Values[key] != "" {
			config.Zones = append(config.Zones, s.Values[key])
		}
	}
	if wrong != nil {
		return nil, wrong
	}
	return New(config)
}
