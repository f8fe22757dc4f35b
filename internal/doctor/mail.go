package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"strconv"
)

// mail greets the mail server, when messages are sent.
func (d *doctor) mail(ctx context.Context) {
	m := d.Gateway.Mail
	if m.Host == "" {
		d.ok("mail", "no messages are sent: the section mail is not there")
		return
	}
	if len(m.ProtectedDomains) == 0 { // D2
		d.warn("mail", "give the domains of the mailboxes that are opened through this gateway as mail.protected_domains",
			"codes may be sent to mailboxes that this gateway opens, where they are not the person's own: mail.protected_domains is not there")
	}
	ctx, done := context.WithTimeout(ctx, 2*timeout)
	defer done()
	server := mailServer{host: m.Host, port: m.Port, tls: m.TLS == "tls", clear: m.InsecureNoTLS, ca: m.CA}
	if err := server.greet(ctx); err != nil {
		d.fail("mail", "see that the server runs, that this machine may reach it, and that mail.tls and mail.ca fit it", "%s, port %d: %v", m.Host, m.Port, err)
		return
	}
	d.ok("mail", "%s answers at port %d", m.Host, m.Port)
}

// mailServer is what is asked of an SMTP server.
type mailServer struct {
	host  string
	port  uint16
	tls   bool // from the first byte
	clear bool // no TLS
	ca    string
}

// greet connects to an SMTP server as a sender would, and sends nothing.
func (m mailServer) greet(ctx context.Context) error {
	address := net.JoinHostPort(m.host, strconv.Itoa(int(m.port)))
	roots, err := authorities(m.ca)
	if err != nil {
		return err
	}
	var conn net.Conn
	if m.tls {
		conn, err = dialTLS(ctx, address, m.host, roots)
	} else {
		conn, err = dial(ctx, address)
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c, err := smtp.NewClient(conn, m.host)
	if err != nil {
		return fmt.Errorf("no SMTP server: %w", err)
	}
	if err := c.Hello("localhost"); err != nil {
		return err
	}
	if !m.tls && !m.clear {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("the server does not offer STARTTLS")
		}
		if err := c.StartTLS(&tls.Config{ServerName: m.host, RootCAs: roots, MinVersion: tls.VersionTLS12}); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	}
	return c.Quit()
}
