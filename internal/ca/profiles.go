package ca

import (
	"context"
	"fmt"
	"strings"
)

// checkProfiles refuses profiles that the rest of the configuration leaves without effect.
func (c *CA) checkProfiles(context.Context) error {
	offered := c.policy().Proving
	names, _ := c.issuing()
	for _, d := range c.config.Profiles {
		if missing := names.Missing(d.Names).Strings(); len(missing) > 0 {
			return fmt.Errorf("profile %s: names: this CA does not issue for %s: leave it out, or add it to --names", d.Name, strings.Join(missing, ", "))
		}
		for _, kind := range d.Challenges {
			if !offered.Offers(kind) {
				return fmt.Errorf("profile %s: challenges: %q is not offered by this CA: leave it out, or turn it on", d.Name, kind)
			}
		}
	}
	return nil
}
