package ca

import "context"

// FitCertificate is what happens every minute: the CA looks whether its own certificate still fits.
func (c *CA) FitCertificate(ctx context.Context) error { return c.own.fit(ctx) }
