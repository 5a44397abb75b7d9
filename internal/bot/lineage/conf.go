package lineage

import (
	"maps"
	"path/filepath"
	"slices"
	"time"
)

// CertbotVersion is the version of certbot whose files these are. A newer one
// than the reader's is not an error to any certbot.
const CertbotVersion = "5.6.0"

// Names in a renewal configuration.
const (
	paramsSection  = "renewalparams"
	webrootSection = "webroot_map"
	ownSection     = "cairnbot"
	adviceSection  = "acme_renewal_info"
	askAgainKey    = "ari_retry_after"
)

// Conf is a renewal configuration, renewal/NAME.conf. Whatever is in it that
// this package does not know stays as it is.
type Conf struct{ document *Document }

// ParseConf reads a renewal configuration.
func ParseConf(text []byte) (*Conf, error) {
	document, err := ParseDocument(text)
	if err != nil {
		return nil, err
	}
	return &Conf{document: document}, nil
}

// Bytes prints the configuration.
func (c *Conf) Bytes() []byte { return c.document.Bytes() }

// Document is the file behind the configuration, for what has no method here.
func (c *Conf) Document() *Document { return c.document }

// newConf makes the configuration of a lineage.
func newConf(archive, live string, setup Setup) (*Conf, error) {
	c, err := ParseConf(nil)
	if err != nil {
		return nil, err
	}
	pairs := [][2]string{{"version", CertbotVersion}, {"archive_dir", archive}}
	for _, kind := range Kinds() {
		pairs = append(pairs, [2]string{string(kind), filepath.Join(live, string(kind)+".pem")})
	}
	for _, pair := range pairs {
		if err := c.document.Root().Set(pair[0], String(pair[1])); err != nil {
			return nil, err
		}
	}
	if err := c.SetParams(setup.Params); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(setup.Own)) {
		if err := c.SetOwn(key, setup.Own[key]); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Version is the version of certbot, or of one that acts as it, that wrote the file first.
func (c *Conf) Version() string { return c.top("version") }

// RenewBeforeExpiry is the interval as it is written, such as "30 days", or "".
func (c *Conf) RenewBeforeExpiry() string { return c.top("renew_before_expiry") }

func (c *Conf) top(key string) string {
	value, _ := c.document.Root().Get(key)
	return value.String()
}

// certbotTime is how certbot writes a time: without saying where.
const certbotTime = "2006-01-02T15:04:05"

// AskAgain is when certbot would ask the CA again when to renew (RFC 9773); zero if the file does not say.
func (c *Conf) AskAgain() time.Time {
	value, _ := c.document.Root().Section(adviceSection).Get(askAgainKey)
	at, err := time.ParseInLocation(certbotTime, value.String(), time.Local) // fractions of a second are taken, too
	if err != nil {
		return time.Time{}
	}
	return at
}

// SetAskAgain sets that; zero removes it, and the section if nothing else is in it.
func (c *Conf) SetAskAgain(at time.Time) error {
	root := c.document.Root()
	if !at.IsZero() {
		section, err := root.Add(adviceSection)
		if err != nil {
			return err
		}
		return section.Set(askAgainKey, String(at.Local().Format(certbotTime)))
	}
	if section := root.Section(adviceSection); section != nil {
		section.Delete(askAgainKey)
		if len(section.Keys())+len(section.Sections()) == 0 {
			root.Remove(adviceSection)
		}
	}
	return nil
}

// Own gives our own value for key, from the section [cairnbot], or "".
func (c *Conf) Own(key string) string {
	value, _ := c.document.Root().Section(ownSection).Get(key)
	return value.String()
}

// SetOwn sets a key of the section [cairnbot]. An empty value removes it.
func (c *Conf) SetOwn(key, value string) error {
	if value == "" {
		if section := c.document.Root().Section(ownSection); section != nil {
			section.Delete(key)
		}
		return nil
	}
	section, err := c.document.Root().Add(ownSection)
	if err != nil {
		return err
	}
	return section.Set(key, String(value))
}
