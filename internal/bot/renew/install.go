package renew

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// Placement says where a certificate goes.
type Placement struct {
	Store   *lineage.Store
	Lineage *lineage.Lineage // nil makes a new one
	Name    string           // of the new one
	Params  lineage.Params   // what a renewal repeats
	Own     map[string]string
	Log     *slog.Logger
}

// Place puts a certificate into its lineage and makes it live. Each step leaves a
// whole state behind: the version before stays live until Deploy, and doing it all
// again after a crash gives the same version.
func (p Placement) Place(issued *Issued) (*lineage.Lineage, error) {
	material, err := lineage.NewMaterial(issued.KeyPEM, issued.Chain.PEM(0))
	if err != nil {
		return nil, err
	}
	l := p.Lineage
	if l == nil {
		if l, err = p.Store.Create(p.Name, material, lineage.Setup{Params: p.Params, Own: p.Own}); err != nil {
			return nil, fmt.Errorf("making %s: %w", p.Name, err)
		}
		return l, nil
	}
	version, err := l.AddVersion(material)
	if err != nil {
		return nil, fmt.Errorf("writing a new version of %s: %w", l.Name, err)
	}
	if err := p.configure(l); err != nil {
		return nil, err
	}
	if err := l.Deploy(version); err != nil {
		return nil, fmt.Errorf("making version %d of %s live: %w", version, l.Name, err)
	}
	if err := l.Prune(); err != nil {
		p.Log.Warn("old versions stay", "lineage", l.Name, "error", err)
	}
	return l, nil
}

// configure writes down what the next renewal needs.
func (p Placement) configure(l *lineage.Lineage) error {
	if err := l.Conf.SetParams(p.Params); err != nil {
		return fmt.Errorf("configuring the renewal of %s: %w", l.Name, err)
	}
	if err := l.Conf.SetAskAgain(time.Time{}); err != nil { // it was about the certificate before
		return fmt.Errorf("configuring the renewal of %s: %w", l.Name, err)
	}
	for key, value := range p.Own {
		if err := l.Conf.SetOwn(key, value); err != nil {
			return fmt.Errorf("configuring the renewal of %s: %w", l.Name, err)
		}
	}
	if err := l.Save(); err != nil {
		return fmt.Errorf("configuring the renewal of %s: %w", l.Name, err)
	}
	return nil
}
