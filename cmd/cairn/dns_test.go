package main

import (
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"
)

// dnsServer FILE NAME: answers over UDP from a zone file, which it reads anew for each
// question, so that a hook updates it by adding a line. Sets $NAME to its HOST:PORT.
func dnsServer(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: dnsserver FILE NAME")
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	ts.Check(err)
	server := &dns.Server{PacketConn: conn, Handler: zoneFile(ts.MkAbs(args[0]))}
	started := make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	go func() { _ = server.ActivateAndServe() }()
	<-started
	ts.Defer(func() { _ = server.Shutdown() })
	ts.Setenv(args[1], conn.LocalAddr().String())
}

// zoneFile is the name of a file of records. Names with none do not exist.
type zoneFile string

func (z zoneFile) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg).SetReply(query)
	reply.Authoritative, reply.Rcode = true, dns.RcodeNameError
	records, err := z.read()
	if err != nil {
		reply.Rcode = dns.RcodeServerFailure
	}
	asked := query.Question[0]
	for _, rr := range records {
		if strings.EqualFold(rr.Header().Name, asked.Name) {
			reply.Rcode = dns.RcodeSuccess
			if rr.Header().Rrtype == asked.Qtype || rr.Header().Rrtype == dns.TypeCNAME {
				reply.Answer = append(reply.Answer, rr)
			}
		}
	}
	_ = w.WriteMsg(reply)
}

func (z zoneFile) read() ([]dns.RR, error) {
	file, err := os.Open(string(z))
	if err != nil {
		return nil, fmt.Errorf("opening the zone: %w", err)
	}
	defer file.Close()
	var records []dns.RR
	parser := dns.NewZoneParser(file, ".", string(z))
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		records = append(records, rr)
	}
	return records, parser.Err()
}
