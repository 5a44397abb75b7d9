package store

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Packed is a compressed text: an octet that says how, and what came of it.
type Packed []byte

// The ways to pack. What was stored before there were any is JSON, and begins with "{".
const (
	packedDeflate = 1 // RFC 1951 with the dictionary evidenceWords
	packedJSON    = '{'
)

// maxUnpacked bounds what Unpack makes, in octets.
const maxUnpacked = 1 << 20

// evidenceWords is what the evidence of most validations has in common. It is part of the
// format: another dictionary is another way to pack.
const evidenceWords = `"handshakes":[{"serverName":"","version":"TLS 1.3","protocol":"acme-tls/1","certificate":"","names":[""]` +
	`"type":"TXT","answers":["_acme-challenge."type":"CAA","error":"","shortened":true,"tcp":true,"NXDOMAIN","SERVFAIL","refused":"` +
	`{"started":"2026-11-23T00:00:00.000000000Z","millis":0,"lookups":[{"name":"","addresses":[{"address":"127.0.0.1",` +
	`"source":{"kind":"hosts","where":"/etc/hosts"}}],"source":{"kind":"dns","where":":53"}}],"questions":[{"server":":53","name":"",` +
	`"type":"AAAA","status":"NOERROR","millis":1},{"server":":53","name":"","type":"A","status":"NOERROR","answers":[""],"millis":1}]}],` +
	`"connections":[{"target":":80","source":{"kind":"dns","where":""},"outcome":"connected","millis":0}],` +
	`"hops":[{"url":"http:///.well-known/acme-challenge/","target":":80","status":200,"contentType":"text/plain; charset=utf-8","length":87,"first":""}]}`

// deflaters are kept, since one is large and expensive to make.
var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriterDict(nil, flate.DefaultCompression, []byte(evidenceWords))
	if err != nil {
		panic("compress/flate does not know its own levels: " + err.Error())
	}
	return w
}}

// Pack compresses text.
func Pack(text []byte) Packed {
	var packed bytes.Buffer
	packed.Grow(len(text)/3 + 64)
	packed.WriteByte(packedDeflate)
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&packed)
	_, err := w.Write(text)
	if err = errors.Join(err, w.Close()); err != nil {
		panic("compressing into memory: " + err.Error()) // a bytes.Buffer takes everything
	}
	return packed.Bytes()
}

// Unpack returns the text.
func (p Packed) Unpack() ([]byte, error) {
	if len(p) == 0 {
		return nil, nil
	}
	switch p[0] {
	case packedJSON:
		return p, nil
	case packedDeflate:
		r := flate.NewReaderDict(bytes.NewReader(p[1:]), []byte(evidenceWords))
		defer r.Close()
		text, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
		if err == nil && len(text) > maxUnpacked {
			err = fmt.Errorf("it is larger than %d octets", maxUnpacked)
		}
		if err != nil {
			return nil, fmt.Errorf("unpacking: %w", err)
		}
		return text, nil
	default:
		return nil, fmt.Errorf("unpacking: a newer program packed it (format %d)", p[0])
	}
}
