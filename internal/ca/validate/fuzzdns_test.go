package validate_test

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// A message with CAA records, as it comes from the network.
func FuzzReadCAA(f *testing.F) {
	query := new(dns.Msg)
	query.SetQuestion("a.test.", dns.TypeCAA)
	query.Id = 0x1234
	for _, records := range [][]string{nil, {`a.test. CAA 0 issue "ca.example"`}, {"a.test. CNAME b.test.", `b.test. CAA 128 x ""`},
		{"test. DNAME example.", `a.example. CAA 0 issuewild ";"`}, {`b.test. CAA 0 issue "x"`}} {
		reply := new(dns.Msg).SetReply(query)
		for _, text := range records {
			rr, err := dns.NewRR(text)
			if err != nil {
				f.Fatal(err)
			}
			reply.Answer = append(reply.Answer, rr)
		}
		f.Add(packed(reply))
		f.Add(packed(reply)[:len(packed(reply))-3])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		records, ok := validate.ReadCAA(text, "a.test", 0x1234)
		if !ok && len(records) > 0 {
			t.Errorf("records are %q", records)
		}
		for _, record := range records {
			if len(record) > 3*4*128+10 {
				t.Errorf("a record is told with %d octets", len(record))
			}
		}
	})
}

// Extended errors are few, and what a client is told of them is printable and has nothing of their texts.
func FuzzExtendedErrors(f *testing.F) {
	for _, options := range [][]dns.EDNS0{nil, {&dns.EDNS0_EDE{InfoCode: 7, ExtraText: "é\x00"}}, {&dns.EDNS0_EDE{InfoCode: 65535}, &dns.EDNS0_EDE{InfoCode: 6}, &dns.EDNS0_NSID{Nsid: "aa"}}} {
		m := new(dns.Msg).SetRcode(new(dns.Msg).SetQuestion("a.test.", dns.TypeA), dns.RcodeServerFailure)
		m.SetEdns0(1232, true).IsEdns0().Option = options
		f.Add(packed(m))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m := new(dns.Msg)
		if m.Unpack(text) != nil {
			return
		}
		list, words := validate.ExtendedErrors(m)
		if len(list) > 4 || len(words) > 600 || strings.ContainsFunc(words, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("%+v is told as %q", list, words)
		}
		for _, e := range list {
			if len(e.Text) > 4*256 {
				t.Errorf("a text has %d octets", len(e.Text))
			}
		}
	})
}

// What is taken as a server has one full form, which means the same.
func FuzzServer(f *testing.F) {
	for _, seed := range []string{"10.0.0.53:53", "[::1]:53", "tcp://10.0.0.53", "tls://dns.example@192.0.2.1:853", "https://dns.example@[2001:db8::1]/q", "tls://fe80::1%eth0", "https://1.2.3.4@5.6.7.8/x", "tls://a@b@c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		full, trusted, err := validate.TrustsAD(text)
		if err != nil {
			return
		}
		again, still, err := validate.TrustsAD(full)
		if err != nil || again != full || still != trusted {
			t.Errorf("%q is %s, and that is %s, %v", text, full, again, err)
		}
		if secret := strings.HasPrefix(full, "tls://") || strings.HasPrefix(full, "https://"); secret && !trusted {
			t.Errorf("%q is not trusted", full)
		}
	})
}
