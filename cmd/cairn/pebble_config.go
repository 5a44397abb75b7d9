package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/pebble"
)

// pebbleConfig is Pebble's configuration file: JSON in which members are found whatever their
// case, and unknown ones are ignored, as Pebble does.
type pebbleConfig struct {
	Pebble struct {
		ListenAddress, ManagementListenAddress string
		HTTPPort, TLSPort                      int
		Certificate, PrivateKey                string
		OCSPResponderURL                       string
		ExternalAccountBindingRequired         bool
		ExternalAccountMACKeys                 map[string]string
		CAAIdentities                          []string
		DomainBlocklist                        []string
		KeyAlgorithm                           string
		RetryAfter                             struct{ Authz, Order int }
		Profiles                               map[string]struct {
			Description       string
			PromoteCommonName bool
			ValidityPeriod    uint64 // seconds
		}
		CertificateValidityPeriod uint64 // ignored, as by Pebble
	}
	// Cairn has what Pebble does not know, and ignores.
	Cairn struct {
		CRLListenAddress string // of plain HTTP
		CheckCAA         bool
	}
}

func readPebbleConfig(path string) (c pebbleConfig, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	err = json.Unmarshal(text, &c)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return c, fmt.Errorf("%s: %s: a %s does not fit there", path, wrong.Field, wrong.Value)
	}
	return c, err
}

// maxValidity is the most seconds that a time.Duration holds; Pebble takes its default for more, too.
const maxValidity = uint64(1<<63-1) / uint64(time.Second)

// config is what the file says.
func (f pebbleConfig) config() (pebble.Config, error) {
	p := f.Pebble
	c := pebble.Config{
		Listen: p.ListenAddress, Management: p.ManagementListenAddress, CRLs: f.Cairn.CRLListenAddress,
		Certificate: p.Certificate, PrivateKey: p.PrivateKey,
		HTTPPort: p.HTTPPort, TLSPort: p.TLSPort, OCSPURL: p.OCSPResponderURL, KeyAlgorithm: p.KeyAlgorithm,
		ExternalRequired: p.ExternalAccountBindingRequired, ExternalKeys: make(map[string][]byte),
		CAAIdentities: p.CAAIdentities, CheckCAA: f.Cairn.CheckCAA, Blocked: p.DomainBlocklist,
		AuthzPause: time.Duration(p.RetryAfter.Authz) * time.Second, OrderPause: time.Duration(p.RetryAfter.Order) * time.Second,
		Profiles: make(map[string]pebble.Profile),
	}
	for id, text := range p.ExternalAccountMACKeys {
		key, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || id == "" || len(key) == 0 {
			return c, fmt.Errorf("externalAccountMACKeys: the key %q is not base64url without padding, or has no name", id)
		}
		c.ExternalKeys[id] = key
	}
	for name, profile := range p.Profiles {
		seconds := profile.ValidityPeriod
		if seconds > maxValidity {
			seconds = 0
		}
		c.Profiles[name] = pebble.Profile{
			Description: profile.Description, PromoteCommonName: profile.PromoteCommonName, Validity: time.Duration(seconds) * time.Second,
		}
	}
	return c, nil
}

// What Pebble does when its environment says nothing.
const (
	defaultRejectNonces = 5
	defaultReuseProofs  = 50
	defaultOrdersPage   = 3
	defaultSleepSeconds = 5
)

// pebbleEnvironment reads Pebble's environment variables. What is no number of the right size is as if it
// were not there, as with Pebble.
func pebbleEnvironment(c *pebble.Config, getenv func(string) string, logger *log.Logger) {
	number := func(name string, least, standard int) int {
		if n, err := strconv.Atoi(getenv(name)); err == nil && n >= least {
			return n
		}
		return standard
	}
	isSet := func(name string) bool { return slices.Contains([]string{"1", "true", "True", "TRUE"}, getenv(name)) }

	c.AlternateRoots = number("PEBBLE_ALTERNATE_ROOTS", 0, 0)
	c.ChainLength = number("PEBBLE_CHAIN_LENGTH", 1, 1)
	c.RejectNonces = defaultRejectNonces
	if n, err := strconv.Atoi(getenv("PEBBLE_WFE_NONCEREJECT")); err == nil {
		c.RejectNonces = min(max(n, 0), 99)
	}
	logger.Printf("Configured to reject %d%% of good nonces", c.RejectNonces)
	if c.ReuseProofs = number("PEBBLE_AUTHZREUSE", 0, defaultReuseProofs); c.ReuseProofs > 100 {
		c.ReuseProofs = defaultReuseProofs
	}
	logger.Printf("Configured to attempt authz reuse for each identifier %d%% of the time", c.ReuseProofs)
	c.PageSize = number("PEBBLE_WFE_ORDERS_PER_PAGE", 1, defaultOrdersPage)
	logger.Printf("Configured to show %d orders per page", c.PageSize)
	if isSet("PEBBLE_VA_NOSLEEP") {
		logger.Print("Disabling random VA sleeps")
	} else {
		seconds := number("PEBBLE_VA_SLEEPTIME", 1, defaultSleepSeconds)
		c.Sleep = time.Duration(seconds) * time.Second
		logger.Printf("Setting maximum random VA sleep time to %d seconds", seconds)
	}
	if isSet("PEBBLE_VA_ALWAYS_VALID") {
		c.AlwaysValid = true
		logger.Print("Disabling VA challenge requests. VA always returns valid")
	}
}
