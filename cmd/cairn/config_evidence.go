package main

import (
	"errors"
	"time"

	"github.com/cairn-ca/cairn/internal/ca"
)

// evidenceSection says how long the evidence of validations is kept.
type evidenceSection struct {
	Keep *span `yaml:"keep"` // "30d"
}

func (s *evidenceSection) apply(c *ca.Config) error {
	if s.Keep == nil {
		return nil
	}
	if c.EvidenceKept = time.Duration(*s.Keep); c.EvidenceKept < time.Hour {
		return errors.New("keep: it takes a time of at least an hour, such as 30d")
	}
	return nil
}
