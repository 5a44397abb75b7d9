package validate

import (
	"encoding/json"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Evidence is what was seen during one proof: facts for the operator and for
// the record, never for the client. All of it is bounded.
type Evidence struct {
	Started     time.Time    `json:"started"`
	Millis      int64        `json:"millis"` // how long the whole proof took
	Lookups     []Lookup     `json:"lookups,omitempty"`
	Connections []Connection `json:"connections,omitempty"`
	Hops        []Hop        `json:"hops,omitempty"`
	Handshakes  []Handshake  `json:"handshakes,omitempty"` // of tls-alpn-01
	CAA         *CAAFinding  `json:"caa,omitempty"`        // where CAA was asked for
	Shortened   bool         `json:"shortened,omitempty"`  // Encode left out what made it too long

	// What remote perspectives say, where there are any. All else is the local one's.
	Quorum       string `json:"quorum,omitempty"` // how many of them corroborated, "4/5" (BR §5.4.1)
	Perspectives []View `json:"perspectives,omitempty"`
}

// Encode makes JSON of at most limit octets. If there is more, what DNS servers
// answered goes first, then all questions, then what remote perspectives saw but for
// their votes, then every hop and lookup but the last.
func (e Evidence) Encode(limit int) ([]byte, error) {
	steps := []func(*Evidence){
		func(*Evidence) {},
		func(e *Evidence) { e.eachQuestion(func(q *Question) { q.Answers = nil }) },
		func(e *Evidence) { e.eachLookup(func(l *Lookup) { l.Questions = nil }) },
		func(e *Evidence) { e.Perspectives = votesAlone(e.Perspectives) },
		func(e *Evidence) {
			e.Hops, e.Lookups = last(e.Hops), last(e.Lookups)
			e.Connections, e.Handshakes = last(e.Connections), last(e.Handshakes)
		},
	}
	for i, shorten := range steps {
		shorten(&e)
		e.Shortened = i > 0
		text, err := json.Marshal(e)
		if err != nil || len(text) <= limit {
			return text, err
		}
	}
	return json.Marshal(Evidence{Started: e.Started, Millis: e.Millis, Shortened: true, Quorum: e.Quorum})
}

// votesAlone leaves out what was seen. There are a few dozen perspectives at most, so the rest is short.
func votesAlone(views []View) []View {
	short := slices.Clone(views)
	for i := range short {
		short[i].Evidence = nil
	}
	return short
}

// eachLookup changes the lookups of a copy: e's own stay as they are.
func (e *Evidence) eachLookup(change func(*Lookup)) {
	e.Lookups = slices.Clone(e.Lookups)
	for i := range e.Lookups {
		change(&e.Lookups[i])
	}
}

func (e *Evidence) eachQuestion(change func(*Question)) {
	e.eachLookup(func(l *Lookup) {
		l.Questions = slices.Clone(l.Questions)
		for i := range l.Questions {
			change(&l.Questions[i])
		}
	})
}

func last[T any](list []T) []T { return list[max(0, len(list)-1):] }

// Lookup is the resolution of one name.
type Lookup struct {
	Name      string     `json:"name"`
	Addresses []Address  `json:"addresses,omitempty"`
	DNSSEC    Security   `json:"dnssec,omitempty"`    // of all that the DNS servers said
	Questions []Question `json:"questions,omitempty"` // what was asked on the network, if anything
}

// Address is an address of a name, and where it came from.
type Address struct {
	Addr    netip.Addr `json:"address"`
	Source  Source     `json:"source"`
	Refused string     `json:"refused,omitempty"` // the rule that forbids to connect to it
}

// Question is one question to one DNS server, and its answer.
type Question struct {
	Server  string   `json:"server"`
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	TCP     bool     `json:"tcp,omitempty"`
	Status  string   `json:"status,omitempty"` // the response code, "NOERROR"
	DNSSEC  Security `json:"dnssec,omitempty"`
	Answers []string `json:"answers,omitempty"`
	Error   string   `json:"error,omitempty"` // why there is no status
	Millis  int64    `json:"millis"`
	// Extended are what the server says about its failure (RFC 8914).
	Extended []ExtendedError `json:"extended,omitempty"`
}

// Connection is one attempt to connect.
type Connection struct {
	Target  netip.AddrPort `json:"target"`
	Source  Source         `json:"source"`
	Outcome string         `json:"outcome"` // "connected", or what went wrong
	Millis  int64          `json:"millis"`
}

// Hop is one request over HTTP, and its answer.
type Hop struct {
	URL         string         `json:"url"`
	Target      netip.AddrPort `json:"target"`
	Status      int            `json:"status,omitempty"`
	ContentType string         `json:"contentType,omitempty"`
	Encoding    string         `json:"contentEncoding,omitempty"`
	Length      int64          `json:"length"` // as announced; -1 if it was not
	Location    string         `json:"location,omitempty"`
	First       string         `json:"first,omitempty"` // the first octets of the body, escaped as in Go
	Error       string         `json:"error,omitempty"`
}

// Handshake is one TLS handshake of tls-alpn-01, and the certificate that it showed.
type Handshake struct {
	Target      netip.AddrPort `json:"target"`
	ServerName  string         `json:"serverName"`
	Version     string         `json:"version,omitempty"`     // "TLS 1.3"
	Protocol    string         `json:"protocol,omitempty"`    // agreed to by ALPN
	Certificate string         `json:"certificate,omitempty"` // SHA-256 of its DER, in hexadecimal
	Names       []string       `json:"names,omitempty"`       // domain names and addresses in it
	Error       string         `json:"error,omitempty"`
}

// SourceKind says what kind of place an address came from.
type SourceKind string

// The kinds of sources, in the order in which they are asked.
const (
	FromIdentifier SourceKind = "identifier" // the identifier is itself an address
	FromHosts      SourceKind = "hosts"      // Where is the path of the file
	FromBuiltIn    SourceKind = "built-in"   // the localhost names (RFC 6761 §6.3)
	FromDNS        SourceKind = "dns"        // Where is the server, as in the configuration
	FromMulticast  SourceKind = "mdns"       // Where is who answered, host:port
)

// Source is where an address came from.
type Source struct {
	Kind  SourceKind `json:"kind"`
	Where string     `json:"where,omitempty"`
}

// String puts the source into words that follow an address: "from DNS server 10.0.0.53".
func (s Source) String() string {
	switch s.Kind {
	case FromIdentifier:
		return "the identifier itself"
	case FromHosts:
		return "from the hosts file"
	case FromBuiltIn:
		return "built in for localhost names"
	case FromDNS:
		return "from " + serverName(s.Where)
	case FromMulticast:
		return "from multicast DNS"
	}
	return "from " + string(s.Kind)
}

// serverName is how a DNS server is called in sentences; the usual port goes without saying.
func serverName(hostport string) string {
	if host, port, err := net.SplitHostPort(hostport); err == nil && port == "53" {
		hostport = host
	}
	return "DNS server " + hostport
}

// Bounds of what a stranger can put into the evidence.
const (
	maxEvidenceText  = 256  // octets of a text or of a body
	maxEvidenceURL   = 2048 // octets of a URL
	maxEvidenceItems = 16   // answers of one question
)

// clip bounds s, which a stranger wrote, and makes it safe to print.
func clip(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
	}
	quoted := strconv.QuoteToASCII(s)
	return quoted[1 : len(quoted)-1]
}
