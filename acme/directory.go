package acme

// Directory tells a client where everything is (RFC 8555 §7.1.1).
type Directory struct {
	NewNonce    string `json:"newNonce"`
	NewAccount  string `json:"newAccount"`
	NewOrder    string `json:"newOrder"`
	NewAuthz    string `json:"newAuthz,omitempty"` // absent where pre-authorization is not offered
	RevokeCert  string `json:"revokeCert"`
	KeyChange   string `json:"keyChange"`
	RenewalInfo string `json:"renewalInfo,omitempty"` // RFC 9773 §3
	Meta        *Meta  `json:"meta,omitempty"`
}

// Meta describes the service as a whole (RFC 8555 §7.1.1).
type Meta struct {
	TermsOfService          string            `json:"termsOfService,omitempty"` // a URL
	Website                 string            `json:"website,omitempty"`        // a URL
	CAAIdentities           []string          `json:"caaIdentities,omitempty"`
	ExternalAccountRequired bool              `json:"externalAccountRequired,omitempty"`
	SubdomainAuthAllowed    bool              `json:"subdomainAuthAllowed,omitempty"` // RFC 9444 §4.4
	Profiles                map[string]string `json:"profiles,omitempty"`             // name → description or URL (draft-ietf-acme-profiles §3)
	// What dns-persist-01 records are made of from draft-ietf-acme-dns-persist-02 on (§3.2, §4.1).
	IssuerDomainNames []string `json:"issuerDomainNames,omitempty"`
	AccountHashPrefix string   `json:"accountHashPrefix,omitempty"`
	// InBandOnionCAARequired says that finalize needs OnionCAA for names under .onion (RFC 9799 §6.4.1).
	InBandOnionCAARequired bool `json:"inBandOnionCAARequired,omitempty"`
}

// HasProfile reports whether the CA offers the profile of that name. m may be nil.
func (m *Meta) HasProfile(name string) bool {
	if m == nil {
		return false
	}
	_, ok := m.Profiles[name]
	return ok
}
