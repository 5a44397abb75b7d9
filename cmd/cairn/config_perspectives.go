package main

import (
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/ca"
)

// perspectivesSection says how remote perspectives are asked.
type perspectivesSection struct {
	Baseline bool  `yaml:"baseline"` // as many as BR §3.2.2.9 asks for
	Timeout  *span `yaml:"timeout"`
	Grace    *span `yaml:"grace"`
	Check    *span `yaml:"check"`
}

func (s *perspectivesSection) apply(c *ca.Config) error {
	c.Perspectives.Baseline = s.Baseline
	for _, field := range []struct {
		name     string
		value    *span
		into     *time.Duration
		min, max time.Duration
	}{
		// A proof takes up to ten seconds there. Were a perspective not waited for until it has given up, a slow host of a
		// client's would look like perspectives that do not answer, and be tried again without end.
		{"timeout", s.Timeout, &c.Perspectives.Timeout, 12 * time.Second, 20 * time.Second},
		{"grace", s.Grace, &c.Perspectives.Grace, time.Millisecond, 10 * time.Second},
		{"check", s.Check, &c.Perspectives.Check, time.Second, time.Hour},
	} {
		if field.value == nil {
			continue
		}
		value := time.Duration(*field.value)
		if value < field.min || value > field.max {
			return fmt.Errorf("%s: it takes a time from %s to %s", field.name, field.min, field.max)
		}
		*field.into = value
	}
	return nil
}
