package ca

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
)

// FitCertificate is what happens every minute: the CA looks whether its own certificate still fits.
func (c *CA) FitCertificate(ctx context.Context) error { return c.own.fit(ctx) }

// KeepCertificate is the part of Serve that has it fit until ctx ends.
func (c *CA) KeepCertificate(ctx context.Context) { c.own.run(ctx) }

// Certificate is the CA's own.
func (c *CA) Certificate() *tls.Certificate { return c.own.current.Load() }

// Public is what answers over plain HTTP.
func (c *CA) Public() http.Handler { return http.HandlerFunc(c.public) }

// FullNames finds the names that a hosts file gives to host.
func (m *Machine) FullNames(hosts io.Reader, host string) []string { return m.fullNames(hosts, host) }

// ShortText is what is kept of what another host says.
func ShortText(text string, limit int) string { return shortText(text, limit) }
