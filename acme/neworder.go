package acme

import "github.com/go-jose/go-jose/v4/json"

// plainNewOrder is NewOrder without its methods.
type plainNewOrder NewOrder

// wireNewOrder is NewOrder as JSON: the ancestors are members of the identifiers.
type wireNewOrder struct {
	plainNewOrder
	Identifiers []orderIdentifier `json:"identifiers"`
}

type orderIdentifier struct {
	Identifier
	Ancestor string `json:"ancestorDomain,omitempty"`
}

// MarshalJSON puts each of Ancestors into its identifier.
func (n NewOrder) MarshalJSON() ([]byte, error) {
	wire := wireNewOrder{plainNewOrder: plainNewOrder(n), Identifiers: []orderIdentifier{}}
	for _, id := range n.Identifiers {
		wire.Identifiers = append(wire.Identifiers, orderIdentifier{id, n.Ancestors[id.Value]})
	}
	return json.Marshal(wire)
}

// UnmarshalJSON takes Ancestors out of the identifiers.
func (n *NewOrder) UnmarshalJSON(data []byte) error {
	var wire wireNewOrder
	if err := json.Unmarshal(data, &wire); err != nil {
		return err
	}
	*n = NewOrder(wire.plainNewOrder)
	for _, id := range wire.Identifiers {
		n.Identifiers = append(n.Identifiers, id.Identifier)
		if id.Ancestor != "" {
			if n.Ancestors == nil {
				n.Ancestors = map[string]string{}
			}
			n.Ancestors[id.Value] = id.Ancestor
		}
	}
	return nil
}
