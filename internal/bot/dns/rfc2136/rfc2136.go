// Package rfc2136 changes records with dynamic updates (RFC 2136), signed with
// a shared secret (RFC 8945): BIND, Knot, PowerDNS, NSD's primaries, Windows and many services take them.
// All messages go over TCP, so that nobody can answer in the server's place without seeing the connection.
package rfc2136

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	wire "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/txt"
)

// Config says which server is asked, and with which key.
type Config struct {
	// Server is the address or the name of the primary server, with or without a port.
	Server string
	Port   int // when Server has none; 0 means 53
	// Key, Secret and Algorithm are the TSIG key: its name, its value in base64, and one of HMAC-MD5, HMAC-SHA1,
	// HMAC-SHA224, HMAC-SHA256, HMAC-SHA384 and HMAC-SHA512. Without a key nothing is signed, which a server may allow by address.
	Key, Secret string
	Algorithm   string // "" means HMAC-MD5, as it does for certbot
	// SignQuery signs the queries that find the zone, too: for servers that choose a view by the key.
	SignQuery bool
	TTL       time.Duration // of records, when they have none; 0 means 2 minutes
	Timeout   time.Duration // of one exchange; 0 means 20 seconds
}

// Provider sends the updates.
type Provider struct {
	config Config
	server string
	key    *key // nil without one
}

// New checks the settings. It asks nobody.
func New(config Config) (*Provider, error) {
	server, err := address(config.Server, config.Port)
	if err != nil {
		return nil, err
	}
	p := &Provider{config: config, server: server}
	if config.Key != "" || config.Secret != "" {
		if p.key, err = newKey(config.Key, config.Secret, config.Algorithm); err != nil {
			return nil, err
		}
	} else if config.SignQuery {
		return nil, errors.New("RFC 2136: queries are to be signed (sign_query), but there is no key: give name and secret")
	}
	if p.config.TTL <= 0 {
		p.config.TTL = 2 * time.Minute
	}
	if p.config.Timeout <= 0 {
		p.config.Timeout = 20 * time.Second
	}
	return p, nil
}

// address joins server and port. IPv6 addresses are taken with brackets and without.
func address(server string, port int) (string, error) {
	if port == 0 {
		port = 53
	}
	host := server
	if name, text, err := net.SplitHostPort(server); err == nil {
		number, err := strconv.Atoi(text)
		if err != nil {
			return "", fmt.Errorf("RFC 2136: %q has no usable port", server)
		}
		host, port = name, number
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if port < 1 || port > 65535 {
		return "", fmt.Errorf("RFC 2136: %d is no port: a port is between 1 and 65535, and most often 53", port)
	}
	if host == "" || net.ParseIP(host) == nil && strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789-._") != "" {
		if ip, zone, ok := strings.Cut(host, "%"); !ok || net.ParseIP(ip) == nil || zone == "" {
			return "", fmt.Errorf("RFC 2136: %q is not the address of a DNS server: give an IP address, or a name", server)
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// Add adds a value, beside those that are there (RFC 2136 §2.5.1). A value that is there already stays one.
func (p *Provider) Add(ctx context.Context, r dns.Record) error {
	return p.change(ctx, r, (*wire.Msg).Insert)
}

// Remove takes this value away, and no other (RFC 2136 §2.5.4).
func (p *Provider) Remove(ctx context.Context, r dns.Record) error {
	return p.change(ctx, r, (*wire.Msg).Remove)
}

func (p *Provider) change(ctx context.Context, r dns.Record, put func(*wire.Msg, []wire.RR)) error {
	if err := txt.Check(r); err != nil {
		return err
	}
	zone, err := p.zone(ctx, r.Name)
	if err != nil {
		return err
	}
	ttl := r.TTL
	if ttl <= 0 {
		ttl = p.config.TTL
	}
	record := &wire.TXT{Hdr: wire.RR_Header{Name: r.Name, Rrtype: wire.TypeTXT, Class: wire.ClassINET, Ttl: uint32(ttl / time.Second)}}
	for _, chunk := range dns.Chunks(r.Value) {
		record.Txt = append(record.Txt, escape(chunk))
	}
	message := new(wire.Msg)
	message.SetUpdate(zone)
	put(message, []wire.RR{record})
	answer, err := p.exchange(ctx, message, true)
	if err != nil {
		return fmt.Errorf("RFC 2136: updating %s in the zone %s at %s: %w", r.Name, zone, p.server, err)
	}
	if answer.Rcode != wire.RcodeSuccess {
		return fmt.Errorf("RFC 2136: %s does not update %s in the zone %s: %s", p.server, r.Name, zone, p.why(answer))
	}
	return nil
}

// escape writes text as the library wants it, which reads \ as the begin of an escape.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text)
}

// zone finds the zone of name: the longest whose SOA record the server has itself.
func (p *Provider) zone(ctx context.Context, name string) (string, error) {
	var last error
	for _, zone := range append(dns.Zones(name), topLevel(name)) {
		message := new(wire.Msg)
		message.SetQuestion(zone, wire.TypeSOA)
		message.RecursionDesired = false
		answer, err := p.exchange(ctx, message, p.config.SignQuery)
		if err != nil {
			return "", fmt.Errorf("RFC 2136: asking %s for the zone of %s: %w", p.server, name, err)
		}
		switch answer.Rcode {
		case wire.RcodeSuccess, wire.RcodeNameError:
		default: // REFUSED is usual for what is not the server's
			last = errors.New(p.why(answer))
			continue
		}
		for _, record := range answer.Answer {
			if soa, ok := record.(*wire.SOA); ok && answer.Authoritative && strings.EqualFold(soa.Hdr.Name, zone) {
				return zone, nil
			}
		}
	}
	if last == nil {
		last = errors.New("it is the primary of none of its parents: give the server that has the zone")
	}
	return "", fmt.Errorf("RFC 2136: %s: %w of %s: %w", p.server, txt.ErrNoZone, name, last)
}

// topLevel is the last label of name: private networks have zones of one label.
func topLevel(name string) string {
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	return labels[len(labels)-1] + "."
}

// exchange sends a message over TCP, signed or not, and returns its answer, which is signed when the message is.
func (p *Provider) exchange(ctx context.Context, message *wire.Msg, sign bool) (*wire.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, p.config.Timeout)
	defer cancel()
	client := &wire.Client{Net: "tcp", Timeout: p.config.Timeout}
	signed := sign && p.key != nil
	if signed {
		client.TsigProvider = p.key
		message.SetTsig(p.key.name, p.key.algorithm, fudge, time.Now().Unix())
	}
	answer, _, err := client.ExchangeContext(ctx, message, p.server)
	var network net.Error
	if err != nil && (ctx.Err() != nil || errors.As(err, &network) && network.Timeout()) {
		return nil, fmt.Errorf("no answer within %s: is TCP to this port let through? (%w)", p.config.Timeout, err)
	}
	if signed && answer != nil {
		if refused := p.refusedKey(answer); refused != nil {
			return nil, refused
		}
		if err == nil && answer.IsTsig() == nil && answer.Rcode == wire.RcodeSuccess {
			return nil, errors.New("the answer is not signed, as it has to be (RFC 8945 §5.3)")
		}
	}
	if err != nil {
		return nil, err
	}
	if answer.Id != message.Id || !answer.Response || answer.Opcode != message.Opcode {
		return nil, errors.New("the answer is to another question")
	}
	return answer, nil
}

// refusedKey explains an error that the server has with the key (RFC 8945 §5.2). Such answers are not signed themselves, where
// the server could not; believing them harms nobody, as they are failures.
func (p *Provider) refusedKey(answer *wire.Msg) error {
	tsig := answer.IsTsig()
	if tsig == nil || answer.Rcode != wire.RcodeNotAuth {
		return nil
	}
	switch tsig.Error {
	case wire.RcodeBadKey:
		return fmt.Errorf("the server does not know the key %s with the algorithm %s: compare name and algorithm with the server's configuration", p.key.name, p.key.algorithm)
	case wire.RcodeBadSig:
		return fmt.Errorf("the server finds another signature with its key %s: compare the secret with the server's configuration", p.key.name)
	case wire.RcodeBadTime:
		return errors.New("the clocks of this machine and of the server are more than five minutes apart: set this one right (timedatectl)")
	}
	return nil
}

// why puts the server's refusal in words.
func (p *Provider) why(answer *wire.Msg) string {
	code := wire.RcodeToString[answer.Rcode]
	switch answer.Rcode {
	case wire.RcodeRefused:
		if p.key == nil {
			return code + ": it wants a key: give name, secret and algorithm of one"
		}
		return code + ": the key " + p.key.name + " may not do this: see update-policy, allow-update or acl in the server's configuration"
	case wire.RcodeNotAuth:
		return code + ": it is not the primary of this zone, or does not take this key"
	case wire.RcodeNotZone, wire.RcodeNotImplemented:
		return code + ": it takes no updates for this zone: is it the primary?"
	case wire.RcodeServerFailure:
		return code + ": it cannot write the zone: see its log; with BIND, the directory of a dynamic zone must be writable by it"
	}
	if code == "" {
		code = "response code " + strconv.Itoa(answer.Rcode)
	}
	return code
}

// padded decodes base64 as people paste it, with spaces in it.
func padded(secret string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(secret), ""))
}
