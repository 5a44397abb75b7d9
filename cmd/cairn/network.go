package main

import (
	"fmt"
	"net/netip"

	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// checkNetwork checks the flags that say how the network is looked at, wherever that is done:
// --resolver, --allow-target, whose ranges it returns, and the ports by their flags.
func checkNetwork(resolvers, targets []string, ports map[string]int) (allow []netip.Prefix, err error) {
	for _, resolver := range resolvers {
		if err := validate.CheckServer(resolver); err != nil {
			return nil, usageError{fmt.Errorf("--resolver %q: %w", resolver, err)}
		}
	}
	for _, target := range targets {
		prefix, err := netip.ParsePrefix(target)
		if addr, addrErr := netip.ParseAddr(target); addrErr == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, usageError{fmt.Errorf("--allow-target %q: it is neither a range such as 169.254.0.0/16 nor an address", target)}
		}
		allow = append(allow, prefix.Masked())
	}
	for flag, port := range ports {
		if port < 1 || port > 65535 {
			return nil, usageError{fmt.Errorf("--%s \"%d\": a port is from 1 to 65535", flag, port)}
		}
	}
	return allow, nil
}
