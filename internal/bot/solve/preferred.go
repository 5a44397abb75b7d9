package solve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/acme"
)

// challengeNames are the words of --preferred-challenges. certbot knows the first two, short and long.
var challengeNames = map[string]acme.ChallengeType{
	"http": acme.HTTP01, "dns": acme.DNS01, "tls-alpn": acme.TLSALPN01, "dns-account": acme.DNSAccount01, "dns-persist": acme.DNSPersist01,
}

// ParseChallenges reads kinds of challenge as operators write them: "http" and "http-01" mean the same.
func ParseChallenges(words []string) ([]acme.ChallengeType, error) {
	var list []acme.ChallengeType
	for _, word := range words {
		kind, ok := challengeNames[strings.TrimSuffix(strings.ToLower(strings.TrimSpace(word)), "-01")]
		if !ok {
			return nil, fmt.Errorf("unrecognized challenge %q: use http, dns, tls-alpn, dns-account or dns-persist", word)
		}
		if !slices.Contains(list, kind) {
			list = append(list, kind)
		}
	}
	return list, nil
}

// Preferred gives the kinds of challenge that a method answers, in the order of preferred; without a preference all, in their own.
func Preferred(method string, supported, preferred []acme.ChallengeType) ([]acme.ChallengeType, error) {
	if len(preferred) == 0 {
		return supported, nil
	}
	var list []acme.ChallengeType
	for _, kind := range preferred {
		if slices.Contains(supported, kind) {
			list = append(list, kind)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("none of the preferred challenges %q is supported by %s, which answers %q", preferred, method, supported)
	}
	return list, nil
}
