package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// maxBody bounds an answer: a long chain has 10 KiB, an order of a hundred names 30 KiB.
const maxBody = 1 << 20

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// A link is one connection to a server; one goroutine uses it at a time.
type link interface {
	// exchange sends one request and reads the answer, until the deadline of ctx.
	exchange(ctx context.Context, method, url string, body []byte) (*reply, error)
	close()
}

// plain is a link that speaks HTTP/1.1 by itself: net/http would have two more goroutines
// switch for each request. It is for one host.
type plain struct {
	server *server
	conn   *tls.Conn
	reader *bufio.Reader
	buffer bytes.Buffer
}

func (p *plain) close() {
	if p.conn != nil {
		_ = p.conn.Close()
		p.conn = nil
	}
}

// exchange dials anew, once, where the server has closed a connection that was used before.
func (p *plain) exchange(ctx context.Context, method, address string, body []byte) (*reply, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("the server gave a URL that is none: %w", err)
	}
	if u.Scheme != "https" || u.Host != p.server.host {
		return nil, fmt.Errorf("the server gave the URL %.200q, which is not on %s: a run loads one host", address, p.server.host)
	}
	used := p.conn != nil
	answer, err := p.once(ctx, method, u, body)
	if err != nil && used && ctx.Err() == nil && closedIdle(err) {
		answer, err = p.once(ctx, method, u, body)
	}
	return answer, err
}

// closedIdle reports whether an error is that of a connection that the server has ended before an answer.
func closedIdle(err error) bool {
	var network *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network) && !network.Timeout()
}

func (p *plain) once(ctx context.Context, method string, u *url.URL, body []byte) (*reply, error) {
	if p.conn == nil {
		conn, err := p.server.dial(ctx)
		if err != nil {
			return nil, err
		}
		p.conn, p.reader = conn, bufio.NewReaderSize(conn, 8<<10)
	}
	answer, err := p.roundTrip(ctx, method, u, body)
	if err != nil {
		p.close()
	}
	return answer, err
}

func (p *plain) roundTrip(ctx context.Context, method string, u *url.URL, body []byte) (*reply, error) {
	deadline, _ := ctx.Deadline()
	if err := p.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	// Who interrupts the run does not wait for a slow answer.
	stop := context.AfterFunc(ctx, func() { _ = p.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	w := &p.buffer
	w.Reset()
	w.WriteString(method + " " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\nUser-Agent: " + p.server.userAgent + "\r\n")
	if method == http.MethodPost {
		w.WriteString("Content-Type: application/jose+json\r\nContent-Length: ")
		w.Write(strconv.AppendInt(w.AvailableBuffer(), int64(len(body)), 10))
		w.WriteString("\r\n")
	}
	w.WriteString("\r\n")
	w.Write(body)
	if _, err := p.conn.Write(w.Bytes()); err != nil {
		return nil, fmt.Errorf("sending a request: %w", err)
	}
	response, err := http.ReadResponse(p.reader, &http.Request{Method: method})
	if err != nil {
		return nil, fmt.Errorf("reading an answer: %w", err)
	}
	answer, err := readReply(response)
	if response.Close {
		p.close()
	}
	return answer, err
}

// readReply reads the rest of an answer.
func readReply(response *http.Response) (*reply, error) {
	defer response.Body.Close()
	a := &reply{status: response.StatusCode, header: response.Header}
	var err error
	if n := response.ContentLength; n > 0 && n <= maxBody {
		a.body = make([]byte, n)
		_, err = io.ReadFull(response.Body, a.body)
	} else {
		a.body, err = io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading an answer: %w", err)
	case len(a.body) > maxBody:
		return nil, fmt.Errorf("an answer is longer than %d octets", maxBody)
	}
	return a, nil
}

// multiplexed is a link over net/http, for HTTP/2.
type multiplexed struct {
	server *server
	client *http.Client
}

func newMultiplexed(s *server) *multiplexed {
	transport := &http.Transport{
		DialTLSContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			if address != s.address {
				return nil, fmt.Errorf("the server gave a URL on %.200q, which is not %s: a run loads one host", address, s.address)
			}
			return s.dial(ctx)
		},
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1, MaxConnsPerHost: 1,
	}
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &multiplexed{server: s, client: &http.Client{Transport: transport, CheckRedirect: refuse}}
}

func (m *multiplexed) close() { m.client.CloseIdleConnections() }

func (m *multiplexed) exchange(ctx context.Context, method, address string, body []byte) (*reply, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/jose+json")
	}
	request.Header.Set("User-Agent", m.server.userAgent)
	response, err := m.client.Do(request)
	if err != nil {
		return nil, err
	}
	return readReply(response)
}
