package main

import (
	"errors"
	"time"

	"github.com/cairn-ca/cairn/internal/ca"
)

// evidenceSection says how long the evidence of validations is kept. The section retention can say it, too.
type evidenceSection struct {
	Keep *span `yaml:"keep"` // "30d"
}

func (s *evidenceSection) apply(c *ca.Config) error {
	if s.Keep == nil {
		return nil
	}
	if c.Retention.Evidence = time.Duration(*s.Keep); c.Retention.Evidence < time.Hour {
		return errors.New("keep: it takes a time of at least an hour, such as 30d")
	}
	return nil
}
