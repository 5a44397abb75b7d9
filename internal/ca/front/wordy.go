package front

import (
	"encoding/json"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// wordyMeta says that no external account is required, which a CA says by leaving it out.
type wordyMeta struct {
	acme.Meta
	ExternalAccountRequired bool `json:"externalAccountRequired"`
}

// wordyAccount has the key that signed the request for it.
type wordyAccount struct {
	acme.Account
	Key *acme.Key `json:"key"`
}

// showAccount is a as its owner sees it.
func (f *Front) showAccount(b base, a rules.Account) any {
	if f.Manners.Wordy {
		return wordyAccount{b.wireAccount(a), a.Key}
	}
	return b.wireAccount(a)
}

// encode is the JSON of an answer.
func (f *Front) encode(body any) ([]byte, error) {
	if f.Manners.Wordy {
		return json.MarshalIndent(body, "", "   ")
	}
	return json.Marshal(body)
}

// labelled is the value of a Content-Type header.
func (f *Front) labelled(mediaType string) string {
	switch mediaType {
	case acme.MediaJSON, acme.MediaProblem, acme.MediaChain:
		if f.Manners.Wordy {
			return mediaType + "; charset=utf-8"
		}
	}
	return mediaType
}

// payloadMembers are the members that payloads have, at the top.
var payloadMembers = []string{
	"account", "certificate", "contact", "csr", "externalAccountBinding", "identifier", "identifiers", "notAfter", "notBefore",
	"oldKey", "onlyReturnExisting", "profile", "reason", "replaces", "status", "termsOfServiceAgreed",
}

// folded gives the members of a payload the case that they have in the RFCs, where that is the manner. What is
// no object stays as it is, and so do members that would then be there twice.
func (f *Front) folded(payload []byte) []byte {
	var members map[string]json.RawMessage
	if !f.Manners.AnyCase || json.Unmarshal(payload, &members) != nil {
		return payload
	}
	changed := false
	for _, right := range payloadMembers {
		if _, there := members[right]; there {
			continue
		}
		for name, value := range members {
			if strings.EqualFold(name, right) {
				delete(members, name)
				members[right], changed = value, true
				break
			}
		}
	}
	if !changed {
		return payload
	}
	again, err := json.Marshal(members)
	if err != nil {
		return payload
	}
	return again
}
