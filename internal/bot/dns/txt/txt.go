// Package txt is what clients of DNS services need to know about one TXT record: whether
// it may go into a request, which zone it lies in, and how its value is written.
package txt

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/dns"
)

// ErrNoZone is returned when an account has no zone for a name.
var ErrNoZone = errors.New("the account has no zone for this name")

// Check refuses records that must not reach a request, a path, or a command. What is no ordinary name (letters, digits,
// '-' and '_') is refused, since names come from other people's CNAME records as well. Values are printable
// ASCII in all of ACME (RFC 8555 §8.4).
func Check(r dns.Record) error {
	if err := checkName(r.Name); err != nil {
		return err
	}
	if r.Value == "" || len(r.Value) > 2048 {
		return fmt.Errorf("a TXT value of %d bytes is refused: 1 to 2048 are usual", len(r.Value))
	}
	for _, c := range []byte(r.Value) {
		if c < ' ' || c > '~' {
			return fmt.Errorf("the TXT value %.60q has a byte that is not printable", r.Value)
		}
	}
	return nil
}

func checkName(fqdn string) error {
	name, ok := strings.CutSuffix(fqdn, ".")
	if !ok || len(name) > 253 { // RFC 1035 §2.3.4
		return fmt.Errorf("%.60q is not a name that a TXT record can have", fqdn)
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return fmt.Errorf("%.60q is not a name that a TXT record can have: a name consists of letters, digits, '-', '_' and '.'", fqdn)
		}
	}
	return nil
}

// Longest returns the place in zones of the longest one that name lies in, or -1. Case and final dots make no difference.
func Longest[Z any](name string, zones []Z, zoneName func(Z) string) int {
	best, length := -1, 0
	for i, zone := range zones {
		if z := plain(zoneName(zone)); within(plain(name), z) && len(z) > length {
			best, length = i, len(z)
		}
	}
	return best
}

// within reports whether name is zone, or lies below it.
func within(name, zone string) bool {
	return zone != "" && (name == zone || strings.HasSuffix(name, "."+zone))
}

func plain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// Relative returns name as it is written inside zone, and apex where it is the zone itself.
// It takes names with final dots, and without.
func Relative(name, zone, apex string) string {
	if inside := dns.Relative(plain(name)+".", plain(zone)+"."); inside != "" {
		return inside
	}
	return apex
}

// Quote writes a value as zone files have it: one or more strings (RFC 1035 §3.3.14) in quotation marks.
func Quote(value string) string {
	var b strings.Builder
	for i, part := range dns.Chunks(value) {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteByte('"')
		b.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(part))
		b.WriteByte('"')
	}
	return b.String()
}

// Unquote reads what Quote wrote, and what services make of it: strings in quotation marks or
// without, with or without space between them. \DDD is an octet (RFC 1035 §5.1).
func Unquote(text string) string {
	var b strings.Builder
	quoted, strung := false, strings.HasPrefix(text, `"`)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+3 < len(text) && octet(text[i+1:i+4]):
			b.WriteByte((text[i+1]-'0')*100 + (text[i+2]-'0')*10 + text[i+3] - '0')
			i += 3
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case c == '"':
			quoted = !quoted
		case c == ' ' && !quoted && strung: // between two strings
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// octet reports whether three characters are a decimal number below 256.
func octet(text string) bool {
	return strings.Trim(text, "0123456789") == "" && text <= "255"
}
