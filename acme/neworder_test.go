package acme_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/cairn-ca/cairn/acme"
)

// What is read from JSON is what is written: ancestors are members of their identifiers (RFC 9444 §4.3).
func FuzzNewOrder(f *testing.F) {
	for _, seed := range []string{
		`{"identifiers":[{"type":"dns","value":"a.example.org","ancestorDomain":"example.org"}],"notBefore":"x","profile":"p"}`,
		`{"identifiers":[]}`, `{"identifiers":null}`, `{"identifiers":[{"type":1}]}`, `{"identifiers":[{"value":"a"},{"value":"a","ancestorDomain":"b"}]}`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var first, second acme.NewOrder
		if json.Unmarshal(data, &first) != nil {
			return
		}
		text, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &second); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if len(first.Identifiers) == 0 {
			first.Identifiers = second.Identifiers
		}
		if !reflect.DeepEqual(first, second) {
			t.Errorf("%+v, then %+v", first, second)
		}
	})
}

func TestNewAuthorizationAsJSON(t *testing.T) {
	want := acme.NewAuthorization{Identifier: acme.Identifier{Type: acme.DNS, Value: "example.org"}, Subdomains: true}
	text, err := json.Marshal(want)
	if err != nil || string(text) != `{"identifier":{"type":"dns","value":"example.org","subdomainAuthAllowed":true}}` {
		t.Fatalf("%s, %v", text, err)
	}
	var got acme.NewAuthorization
	if err := json.Unmarshal(text, &got); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}
