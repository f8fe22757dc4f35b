package mail

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
)

// Config says how messages are sent and what they say of the gateway.
type Config struct {
	Host string // of the SMTP server
	Port uint16
	// ImplicitTLS speaks TLS from the first byte (RFC 8314, section 3.3). Otherwise STARTTLS is required.
	ImplicitTLS bool
	// InsecureNoTLS sends in clear. Only to a server on this machine, and without a password.
	InsecureNoTLS  bool
	Roots          *x509.CertPool // of the server's certificate; nil: those of the system
	User, Password string         // empty: the server asks for none
	Timeout        time.Duration  // of one message, from the first to the last byte

	From         string // address
	Product      string // name of the sender, of people's portal
	Origin       string // of the auth host: links begin with it
	SupportPhone string // may be empty
	SupportMail  string // may be empty
	Now          func() time.Time
}

// LogValue keeps the password out of logs.
func (c Config) LogValue() slog.Value {
	return slog.StringValue(net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))))
}

// Sender sends messages.
type Sender struct {
	config   Config
	messages messages
}

// New checks c. It does not connect.
func New(c Config) (*Sender, error) {
	if _, ok := ParseAddress(c.From); !ok {
		return nil, errors.New("mail: the sender is no address")
	}
	if c.Host == "" || c.Port == 0 || c.Product == "" || c.Timeout <= 0 || c.Now == nil {
		return nil, errors.New("mail: a server, a name, a timeout and a clock are needed")
	}
	if c.InsecureNoTLS && (!IsLoopback(c.Host) || c.ImplicitTLS || c.User != "") {
		return nil, errors.New("mail: without TLS only to this machine, and without a password")
	}
	m, err := parseMessages()
	if err != nil {
		return nil, err
	}
	return &Sender{config: c, messages: m}, nil
}

// Timeout is how long sending one message may take.
func (s *Sender) Timeout() time.Duration { return s.config.Timeout }

// IsLoopback says whether a host, by its name or address, is this machine.
func IsLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// message is what is sent.
type message struct {
	subject, text, html string
}

// send hands a message over to the server, or fails within the timeout.
func (s *Sender) send(ctx context.Context, to string, m message) error {
	to, ok := ParseAddress(to)
	if !ok {
		return errors.New("send mail: the recipient is no address")
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	msg, err := s.compose(to, m)
	if err != nil {
		return fmt.Errorf("send mail: %w", err)
	}
	var line line
	defer line.close()
	client, err := s.client(ctx, &line)
	if err != nil {
		return fmt.Errorf("send mail: %w", err)
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil && !line.accepted(msg) {
		return fmt.Errorf("send mail through %s: %w", s.config.Host, explain(ctx, err, &line))
	}
	return nil
}

func (s *Sender) compose(to string, m message) (*mail.Msg, error) {
	// A name of our own: the library's would tell which program and which machine.
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := msg.FromFormat(s.config.Product, s.config.From); err != nil {
		return nil, errors.New("the sender is refused")
	}
	if err := msg.To(to); err != nil {
		return nil, errors.New("the recipient is refused") // not err, which repeats it
	}
	msg.Subject(m.subject)
	msg.SetDateWithValue(s.config.Now())
	msg.SetMessageIDWithValue(strings.ToLower(rand.Text()) + "@" + DomainOf(s.config.From))
	// RFC 3834, section 5: no holiday notice comes back.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(mail.TypeTextPlain, m.text)
	msg.AddAlternativeString(mail.TypeTextHTML, m.html)
	return msg, nil
}

// client is the library's, for one message that is sent within ctx.
func (s *Sender) client(ctx context.Context, l *line) (*mail.Client, error) {
	c := s.config
	// The library knows timeouts of steps; ours is of the whole. So the connection is ours, and TLS on it where it comes first.
	config := &tls.Config{ServerName: c.Host, RootCAs: c.Roots, MinVersion: tls.VersionTLS12}
	options := []mail.Option{
		mail.WithPort(int(c.Port)), mail.WithTimeout(c.Timeout), mail.WithTLSConfig(config), mail.WithoutNoop(),
		mail.WithHELO(cmp.Or(DomainOf(c.From), "localhost")),
		mail.WithDialContextFunc(func(dialing context.Context, network, address string) (net.Conn, error) {
			conn, err := l.dial(dialing, network, address)
			if err != nil {
				return nil, err
			}
			l.hangUpWith(ctx) // dialing ends before the message is sent
			if !c.ImplicitTLS {
				return conn, nil
			}
			secure := tls.Client(conn, config)
			return secure, secure.HandshakeContext(dialing)
		}),
	}
	switch {
	case c.ImplicitTLS:
		options = append(options, mail.WithSSL())
	case c.InsecureNoTLS:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if c.User != "" {
		options = append(options, mail.WithUsername(c.User), mail.WithPassword(c.Password),
			// Over TLS in every case, and the library sends the last two over nothing else.
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin))
	}
	return mail.NewClient(c.Host, options...)
}
