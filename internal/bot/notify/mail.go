package notify

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/hook"
)

// Security is how the connection to a mail server is protected.
type Security string

// The kinds of security.
const (
	StartTLS Security = "starttls" // begins in plain text; without encryption nothing is sent
	TLS      Security = "tls"      // from the first byte
	None     Security = "none"     // for a server on this machine
)

// Mail sends events as plain text to people.
type Mail struct {
	To   []string // addresses, without names
	From string

	Server   string   // HOST:PORT; "" hands the message to Sendmail
	Security Security // "" means StartTLS
	User     string
	Password string
	Sendmail string // a program with sendmail's interface; "" means /usr/sbin/sendmail
	Host     string // how this machine calls itself; "" means localhost
	// TLSConfig decides which servers are believed; nil means the system's.
	TLSConfig *tls.Config
	Timeout   time.Duration // 0 means 30 seconds
}

// Check completes m and says what is wrong with it.
func (m *Mail) Check() error {
	if m.Security == "" {
		m.Security = StartTLS
	}
	if m.Timeout <= 0 {
		m.Timeout = 30 * time.Second
	}
	if m.Host == "" {
		m.Host = "localhost"
	}
	if m.From == "" {
		m.From = "cairnbot@" + m.Host
	}
	if len(m.To) == 0 {
		return errors.New("nobody is named to send mail to")
	}
	for _, address := range append(slices.Clone(m.To), m.From) {
		if parsed, err := mail.ParseAddress(address); err != nil || parsed.Address != address || strings.ContainsAny(address, " \r\n\t<>\"") {
			return fmt.Errorf("%q is not an e-mail address", address)
		}
	}
	if !slices.Contains([]Security{StartTLS, TLS, None}, m.Security) {
		return fmt.Errorf("security %q is none of starttls, tls and none", m.Security)
	}
	if m.Security == None && m.User != "" && !local(m.Server) {
		return errors.New("a password is not sent without encryption: use security = starttls or tls")
	}
	if m.Server == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(m.Server); err != nil {
		port := map[Security]string{StartTLS: "587", TLS: "465", None: "25"}[m.Security]
		m.Server = net.JoinHostPort(strings.Trim(m.Server, "[]"), port)
	}
	return nil
}

// local reports whether a server is on this machine.
func local(server string) bool {
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		host = server
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Name is the addresses.
func (m *Mail) Name() string { return "mailto:" + strings.Join(m.To, ",") }

// Send delivers one message to all addresses.
func (m *Mail) Send(ctx context.Context, event Event) error {
	ctx, cancel := context.WithTimeout(ctx, m.Timeout)
	defer cancel()
	message := m.message(event)
	if m.Server == "" {
		return m.sendmail(ctx, message)
	}
	conn, err := m.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // ends what waits
	return m.converse(&bounded{Conn: conn, left: maxConversation}, message)
}

func (m *Mail) dial(ctx context.Context) (net.Conn, error) {
	if m.Security == TLS {
		return (&tls.Dialer{Config: m.tlsConfig()}).DialContext(ctx, "tcp", m.Server)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", m.Server)
}

func (m *Mail) tlsConfig() *tls.Config {
	config := m.TLSConfig.Clone()
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config.ServerName, _, _ = net.SplitHostPort(m.Server)
	return config
}

// maxConversation is far more than a mail server has to say.
const maxConversation = 256 << 10

// bounded is a connection that is read so far and no further: a server could talk without an end of line.
type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(text []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the mail server says more than any should")
	}
	n, err := b.Conn.Read(text[:min(len(text), b.left)])
	b.left -= n
	return n, err
}

// converse speaks SMTP (RFC 5321).
func (m *Mail) converse(conn net.Conn, message []byte) error {
	host, _, _ := net.SplitHostPort(m.Server)
	client, err := smtp.NewClient(conn, host)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Hello(m.Host); err != nil {
		return err
	}
	if m.Security == StartTLS {
		if err := client.StartTLS(m.tlsConfig()); err != nil {
			return fmt.Errorf("beginning TLS: %w", err)
		}
	}
	if m.User != "" {
		if err := client.Auth(m.auth(client, host)); err != nil {
			return fmt.Errorf("signing in as %s: %w", m.User, err)
		}
	}
	if err := client.Mail(m.From); err != nil {
		return err
	}
	for _, to := range m.To {
		if err := client.Rcpt(to); err != nil {
			return fmt.Errorf("to %s: %w", to, err)
		}
	}
	data, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := data.Write(message); err != nil {
		return err
	}
	if err := data.Close(); err != nil {
		return err
	}
	_ = client.Quit() // the server has the message; how it says goodbye does not matter
	return nil
}

// auth chooses how to sign in: PLAIN (RFC 4616), or LOGIN where a server has only that.
func (m *Mail) auth(client *smtp.Client, host string) smtp.Auth {
	_, methods := client.Extension("AUTH")
	if !slices.Contains(strings.Fields(strings.ToUpper(methods)), "PLAIN") {
		return &login{user: m.User, password: m.Password}
	}
	return smtp.PlainAuth("", m.User, m.Password, host)
}

// login is the mechanism LOGIN, which some large providers offer alone.
type login struct{ user, password string }

func (l *login) Start(server *smtp.ServerInfo) (string, []byte, error) {
	if !server.TLS && !local(server.Name) {
		return "", nil, errors.New("a password is not sent without encryption")
	}
	return "LOGIN", nil, nil
}

func (l *login) Next(question []byte, more bool) ([]byte, error) {
	switch asked := strings.ToLower(strings.TrimSpace(string(question))); {
	case !more:
		return nil, nil
	case strings.HasPrefix(asked, "user"):
		return []byte(l.user), nil
	case strings.HasPrefix(asked, "pass"):
		return []byte(l.password), nil
	default:
		return nil, fmt.Errorf("the server asks something unknown: %q", clean(string(question)))
	}
}

// message is the event as a message (RFC 5322).
func (m *Mail) message(event Event) []byte {
	var b bytes.Buffer
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	id := event.ID
	if id == "" {
		id = rand.Text()
	}
	header("From", (&mail.Address{Name: "cairnbot", Address: m.From}).String())
	header("To", strings.Join(m.To, ", "))
	header("Subject", mime.QEncoding.Encode("utf-8", "cairnbot: "+event.Subject()))
	header("Date", event.Time.Format(time.RFC1123Z))
	header("Message-ID", "<"+id+"@"+m.Host+">")
	header("Auto-Submitted", "auto-generated") // RFC 3834: nobody's holiday notice answers it
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	body := quotedprintable.NewWriter(&b)
	_, _ = io.WriteString(body, strings.ReplaceAll(event.Text(), "\n", "\r\n")) // into memory
	_ = body.Close()
	return b.Bytes()
}

// sendmail hands the message to the machine's own mail system.
func (m *Mail) sendmail(ctx context.Context, message []byte) error {
	program := m.Sendmail
	if program == "" {
		program = "/usr/sbin/sendmail"
	}
	output := &head{limit: maxOutput}
	command := exec.CommandContext(ctx, program, append([]string{"-i", "-f", m.From, "--"}, m.To...)...)
	command.Stdin = bytes.NewReader(bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n")))
	command.Stdout, command.Stderr = output, output
	command.WaitDelay = 2 * time.Second
	hook.OwnGroup(command)
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, clean(output.String()))
	}
	return nil
}
