package main

import (
	"errors"
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/profile"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// retentionSection says how long records are kept after their end.
type retentionSection struct {
	Orders         *stay `yaml:"orders"` // "30d", or "never" for what is never deleted
	Authorizations *stay `yaml:"authorizations"`
	Certificates   *stay `yaml:"certificates"`
	Evidence       *stay `yaml:"evidence"`
}

// The least that records are kept.
const (
	// Clients look at an order that has just ended, and operators at why.
	minRetention = time.Hour
	// A certificate that is revoked stays on one list after its end (RFC 5280 §3.3). The newest list is made within a
	// day of that, and counts for a week: as long as somebody may ask about what is on it, the record is there.
	minCertificates = 8 * 24 * time.Hour
)

func (s *retentionSection) apply(c *ca.Config) error {
	if s.Evidence != nil && c.Retention.Evidence != 0 {
		return errors.New("evidence: the section evidence says it, too: remove one of them")
	}
	for _, field := range []struct {
		name  string
		value *stay
		least time.Duration
		why   string
		into  *time.Duration
	}{
		{"orders", s.Orders, minRetention, "clients still look at an order that has just ended", &c.Retention.Orders},
		{"authorizations", s.Authorizations, minRetention, "clients still look at an authorization that has just ended", &c.Retention.Authorizations},
		{"certificates", s.Certificates, minCertificates, "for so long its revocation can be on a list that counts", &c.Retention.Certificates},
		{"evidence", s.Evidence, minRetention, "else nobody could look at it", &c.Retention.Evidence},
	} {
		if field.value == nil {
			continue
		}
		if *field.into = time.Duration(*field.value); *field.into < field.least {
			return fmt.Errorf("%s: %s is too short: use at least %s, since %s", field.name,
				profile.Span(*field.into), profile.Span(field.least), field.why)
		}
	}
	return nil
}

// stay is how long something is kept: a time, or "never" for what is never deleted.
type stay time.Duration

func (s *stay) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode && node.Value == "never" {
		*s = stay(rules.Forever)
		return nil
	}
	length, err := profile.ParseSpan(node.Value)
	if err != nil || node.Kind != yaml.ScalarNode {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf(`line %d: %q is not a time such as 90d or 12h, nor "never", for what is never deleted`, node.Line, node.Value)}}
	}
	*s = stay(length)
	return nil
}
