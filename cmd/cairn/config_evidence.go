package main

import (
	"errors"
	"time"

	"github.com/cairn-ca/cairn/internal/ca"
)

// evidenceSection says how long the evidence of validations is kept.
type evidenceSection struct {
	Keep *time.Duration `yaml:"keep"` // "720h"
}

func (s *evidenceSection) apply(c *ca.Config) error {
	if s.Keep == nil {
		return nil
	}
	if *s.Keep < time.Hour {
		return errors.New("keep: it takes a time of at least an hour, such as 720h")
	}
	c.EvidenceKept = *s.Keep
	return nil
}
