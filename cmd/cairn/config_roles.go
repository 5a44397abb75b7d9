package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
)

// callsSection says where the other processes of the authority call one.
type callsSection struct {
	Calls string `yaml:"calls"` // ADDR to listen on
}

func (s callsSection) apply(c *ca.Calls) error {
	if s.Calls == "" {
		return nil
	}
	if err := checkCalls(s.Calls); err != nil {
		return fmt.Errorf("calls: %w", err)
	}
	c.Listen = s.Calls
	return nil
}

func checkCalls(address string) error {
	if _, port, err := net.SplitHostPort(address); err != nil || !isPort(port) {
		return fmt.Errorf("%q is not ADDRESS:PORT or :PORT", address)
	}
	return nil
}

// isPort reports whether text is a port, or 0 for any.
func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// frontSection is what concerns the role front alone.
type frontSection struct {
	Names        []string `yaml:"names"`       // what clients call the fronts by, beside the host of url
	Certificate  string   `yaml:"certificate"` // PEM file of the HTTPS certificate with its chain; none has this CA issue it
	Key          string   `yaml:"key"`         // PEM file of its key
	callsSection `yaml:",inline"`
}

func (s *frontSection) apply(c *ca.Config) error {
	for _, name := range s.Names {
		id, problem := acme.IdentifierFor(name).Normalize()
		if problem != nil {
			return fmt.Errorf("names: %q: %s", name, problem.Detail)
		}
		if _, wildcard := id.Base(); wildcard {
			return fmt.Errorf("names: %q is not one host", name)
		}
	}
	if (s.Certificate == "") != (s.Key == "") {
		return errors.New("certificate and key go together: name both files, or none")
	}
	c.Front.Names, c.Front.Certificate, c.Front.Key = s.Names, s.Certificate, s.Key
	return s.callsSection.apply(&c.Front.Calls)
}

// workSection is what concerns the role work alone.
type workSection struct {
	Validations  *int `yaml:"validations"` // in parallel
	Issuances    *int `yaml:"issuances"`   // in parallel
	callsSection `yaml:",inline"`
}

// maxParallel bounds what one worker does at once: each piece of it takes memory and descriptors.
const maxParallel = 65536

func (s *workSection) apply(c *ca.Config) error {
	for _, field := range []struct {
		name  string
		value *int
		into  *int
	}{{"validations", s.Validations, &c.Work.Validations}, {"issuances", s.Issuances, &c.Work.Issuances}} {
		if field.value == nil {
			continue
		}
		if *field.value < 1 || *field.value > maxParallel {
			return fmt.Errorf("%s: it takes a number from 1 to %d", field.name, maxParallel)
		}
		*field.into = *field.value
	}
	return s.callsSection.apply(&c.Work.Calls)
}

// signerSection is what concerns the role signer alone.
type signerSection struct {
	callsSection `yaml:",inline"`
}

func (s *signerSection) apply(c *ca.Config) error { return s.callsSection.apply(&c.Signer.Calls) }

// validatorSection is what concerns the role validator alone.
type validatorSection struct {
	Questions    *int `yaml:"questions"` // in parallel
	callsSection `yaml:",inline"`
}

func (s *validatorSection) apply(c *ca.Config) error {
	if s.Questions != nil {
		if *s.Questions < 1 || *s.Questions > maxParallel {
			return fmt.Errorf("questions: it takes a number from 1 to %d", maxParallel)
		}
		c.Validator.Questions = *s.Questions
	}
	return s.callsSection.apply(&c.Validator.Calls)
}

// crlSection is what concerns the role crl, and where it publishes.
type crlSection struct {
	URL string `yaml:"url"` // http://HOST[:PORT] of the fronts' plain HTTP, as certificates name it
}

func (s *crlSection) apply(c *ca.Config) error {
	if s.URL == "" {
		return nil
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "http" || u.Host == "" || s.URL != "http://"+u.Host {
		return fmt.Errorf("url: %q is not of the form http://HOST[:PORT]", s.URL)
	}
	c.CRL.URL = s.URL
	return nil
}
