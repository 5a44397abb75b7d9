package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// limitFlags is what can be said to `cairn up` about rate limits.
type limitFlags struct {
	preset string
}

func (f *limitFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.preset, "limits", "", "rate limits by the name of a `PRESET`: lets-encrypt, or off, which leaves those on floods (default off)")
}

func (f *limitFlags) apply(c *ca.Config) error {
	if f.preset == "" {
		return nil
	}
	limits, err := rules.ParsePreset(f.preset)
	if err != nil {
		return usageError{fmt.Errorf("--limits: %w", err)}
	}
	c.Limits = limits
	return nil
}

// limitsSection says which rate limits are on: those of "preset", and each one by its name.
type limitsSection map[string]string

func (s *limitsSection) apply(c *ca.Config) error {
	limits := c.Limits // those of --limits, which goes before the preset of the file
	if limits == nil {
		limits = rules.DefaultLimits()
	}
	changes := rules.Limits{}
	for key, text := range *s {
		if key == "preset" {
			preset, err := rules.ParsePreset(text)
			if err != nil {
				return fmt.Errorf("preset: %w", err)
			}
			if c.Limits == nil {
				limits = preset
			}
			continue
		}
		name, err := rules.ParseLimitName(key)
		if err != nil {
			return fmt.Errorf("%w; and preset", err)
		}
		if changes[name], err = rules.ParseLimit(text); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	c.Limits = limits.With(changes)
	return nil
}
