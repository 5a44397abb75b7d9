package acme

import (
	"errors"
	"fmt"
	"strings"
)

// IssueValue is what an issue or issuewild property of CAA says (RFC 8659 §4.2). Records of
// dns-persist-01 have the same form.
type IssueValue struct {
	Issuer     string           // a name of a CA, in lower case and without a final dot; "" for none
	Parameters []IssueParameter // in their order
}

// IssueParameter is a parameter of an IssueValue.
type IssueParameter struct {
	Tag   string // in lower case, since tags match in any case
	Value string
}

// IssuerOf is who an IssueValue is for, in the form of IssueValue.Issuer, also
// where the rest of it is malformed.
func IssuerOf(text string) string {
	issuer, _, _ := strings.Cut(text, ";")
	return strings.TrimSuffix(strings.ToLower(trimWSP(issuer)), ".")
}

// ParseIssueValue reads an issue-value (RFC 8659 §4.2). The error is in words that follow "it is malformed:".
func ParseIssueValue(text string) (IssueValue, error) {
	v := IssueValue{Issuer: IssuerOf(text)}
	if v.Issuer != "" && !isIssuerDomain(v.Issuer) {
		return IssueValue{}, errors.New("it does not begin with the domain name of a CA")
	}
	_, parameters, _ := strings.Cut(text, ";")
	if trimWSP(parameters) == "" {
		return v, nil // with or without a semicolon
	}
	for part := range strings.SplitSeq(parameters, ";") {
		parameter, err := parseIssueParameter(part)
		if err != nil {
			return IssueValue{}, err
		}
		v.Parameters = append(v.Parameters, parameter)
	}
	return v, nil
}

// parseIssueParameter reads "tag=value" with space around each.
func parseIssueParameter(part string) (IssueParameter, error) {
	tag, value, ok := strings.Cut(part, "=")
	p := IssueParameter{strings.ToLower(trimWSP(tag)), trimWSP(value)}
	if !ok || !isLDH(p.Tag) {
		return p, fmt.Errorf("%.64q is not a parameter, TAG=VALUE", trimWSP(part))
	}
	for i := range len(p.Value) {
		if c := p.Value[i]; c < 0x21 || c > 0x7e { // and no semicolon, at which the text was cut
			return p, fmt.Errorf("the value of %.32q has a character that is not allowed there", p.Tag)
		}
	}
	return p, nil
}

// isIssuerDomain reports whether s is an issuer-domain-name (RFC 8659 §4.2).
func isIssuerDomain(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if !isLDH(label) {
			return false
		}
	}
	return len(s) <= 253
}

// isLDH reports whether s, in lower case, is a label or tag of RFC 8659 §4.2: letters, digits, and hyphens within.
func isLDH(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
			return false
		}
	}
	return s != "" && s[0] != '-' && s[len(s)-1] != '-'
}

func trimWSP(s string) string { return strings.Trim(s, " \t") }
